package monitor_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
)

// consumer is an endpoint that serves what it loaded last.
type consumer struct {
	mu     sync.Mutex
	chain  []*x509.Certificate
	err    error
	looks  map[string]int
	when   []time.Time
	asked  []spec.Algorithm
	busy   int // open connections
	most   int // most at once
	during func()
}

// looked returns how often an endpoint was probed.
func (c *consumer) looked(endpoint string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looks[endpoint]
}

func (c *consumer) Served(ctx context.Context, at spec.Probe, algorithm spec.Algorithm) (map[string][]*x509.Certificate, error) {
	c.mu.Lock()
	if c.looks == nil {
		c.looks = map[string]int{}
	}
	c.looks[at.Endpoint()]++
	c.when, c.asked = append(c.when, time.Now()), append(c.asked, algorithm)
	c.busy++
	c.most = max(c.most, c.busy)
	chain, err, during := c.chain, c.err, c.during
	c.mu.Unlock()
	time.Sleep(time.Second)
	if during != nil {
		during()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
	if err != nil {
		return nil, err
	}
	return map[string][]*x509.Certificate{"192.0.2.1": chain}, nil
}

func (c *consumer) set(chain []*x509.Certificate, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chain, c.err = chain, err
}

// load makes the consumer read the secret.
func (c *consumer) load(w *reconciletest.World, path string) {
	w.T.Helper()
	c.set(w.SecretPair(path).Chain, nil)
}

// watching runs a lookout and gives it a plan on each follow.
type watching struct {
	*reconciletest.World
	lookout *monitor.Monitor
	r       *apply.Reconciler
	consumer
	failed     []error
	isRepeated bool
	recorded   []ledger.Event
}

func watchOver(w *reconciletest.World, o monitor.Options) (x *watching, stop func()) {
	x = &watching{World: w, r: w.Reconciler()}
	o.Telling = func(err error) {
		if x.isRepeated = err == nil; err != nil {
			x.failed = append(x.failed, err)
		}
	}
	o.Recorded = func(e ledger.Event) { x.recorded = append(x.recorded, e) }
	x.lookout = monitor.New(x.r, &x.consumer, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); x.lookout.Run(ctx) }()
	return x, func() { cancel(); <-done }
}

func (x *watching) follow() {
	x.T.Helper()
	obs, err := x.r.Observe(context.Background(), x.Desired)
	if err != nil {
		x.T.Fatal(err)
	}
	x.lookout.Follow(plan.New(x.Desired, obs, time.Now()).Actions, ledger.Revision{Commit: "c0ffee"})
}

// wait lets time pass.
func (x *watching) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// expect compares the ledger's probe events.
func (x *watching) expect(what string, want ...string) {
	x.T.Helper()
	var got []string
	for _, e := range x.Ledger.Events(x.T) {
		if e.Operation == ledger.KindProbe {
			got = append(got, fmt.Sprint(e.Status, " ", e.Class, " ", e.Certificate, " ", e.Endpoint))
		}
	}
	if !slices.Equal(got, want) {
		x.T.Errorf("%s: the ledger was told %q, want %q", what, got, want)
	}
	if len(x.failed) > 0 {
		x.T.Errorf("%s: it failed with %v", what, x.failed)
	}
}

func probed(name string, hosts ...string) *spec.Certificate {
	c := reconciletest.Certificate(name, name+".example.com")
	c.Probes = reconciletest.Endpoints(hosts...)
	return c
}

// TestLookoutRenewedNeverLoaded checks that a consumer that never loads the new
// certificate has one event when its grace period ends, and one when it has loaded it.
func TestLookoutRenewedNeverLoaded(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Settle()
		x, stop := watchOver(w, monitor.Options{})
		defer stop()
		x.load(w, "tls/api")
		x.follow()
		x.wait(time.Hour)
		if n := x.looked("api.example.com:443"); n != 4 {
			t.Errorf("in an hour there were %d looks, want 4", n)
		}
		x.expect("it is current")
		if got := x.lookout.Results(); len(got) != 1 || got[0].Verdict != monitor.VerdictCurrent || got[0].NotAfter == nil || x.asked[0] != spec.ECDSA {
			t.Errorf("the looks are %+v, asked for was %v", got, x.asked)
		}

		rotate(w, "first")
		x.follow()
		x.wait(90 * time.Minute)
		x.expect("it is waited for")
		x.wait(45 * time.Minute)
		x.expect("it was never loaded", "failure stale api api.example.com:443")
		e := x.recorded[0]
		if !strings.Contains(e.Message, "which was replaced") || !strings.Contains(e.Message, "(version 2 of secret/tls/api)") || e.Detail != monitor.Reloads || e.Revision != "c0ffee" || e.Severity != "" {
			t.Errorf("the event is %+v", e)
		}
		commits := len(w.Ledger.Messages)
		x.wait(24 * time.Hour)
		if len(w.Ledger.Messages) != commits {
			t.Errorf("while it stays there are the commits %q", w.Ledger.Messages[commits:])
		}

		rotate(w, "second")
		x.follow()
		x.wait(30 * time.Minute)
		x.expect("renewed once more, it is not gone", "failure stale api api.example.com:443")

		x.load(w, "tls/api")
		x.wait(15 * time.Minute)
		x.expect("loaded", "failure stale api api.example.com:443", "success stale api api.example.com:443")
		if p, err := archive.ReadProblems(w.Ledger.Tree); err != nil || len(p.Problems) != 0 {
			t.Errorf("the open problems are %+v (%v)", p, err)
		}
	}, probed("api", "api.example.com"))
}

// TestLookoutSetTimes checks that a changed interval or grace period applies to
// endpoints that are already probed.
func TestLookoutSetTimes(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Settle()
		x, stop := watchOver(w, monitor.Options{})
		defer stop()
		x.load(w, "tls/api")
		rotate(w, "first")
		x.follow()
		x.wait(time.Hour)
		x.expect("it is waited for")
		x.lookout.SetTimes(time.Minute, 90*time.Minute)
		x.follow()
		before := x.looked("api.example.com:443")
		x.wait(20 * time.Minute)
		x.expect("it is waited for by the new time")
		if n := x.looked("api.example.com:443") - before; n < 18 || n > 21 {
			t.Errorf("in twenty minutes there were %d looks, want one a minute", n)
		}
		x.wait(15 * time.Minute)
		x.expect("the new time is over", "failure stale api api.example.com:443")
	}, probed("api", "api.example.com"))
}

func rotate(w *reconciletest.World, request string) {
	w.T.Helper()
	c := *w.Desired.Certificates[0]
	c.Rotate = request
	w.Desired = reconciletest.Desire(&c)
	w.Settle()
}

// TestLookoutUnreachable checks that a restarting consumer is no problem, that one that
// stays unreachable is, and that it delays no other probe.
func TestLookoutUnreachable(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Settle()
		x, stop := watchOver(w, monitor.Options{Interval: time.Minute})
		defer stop()
		x.load(w, "tls/api")
		x.follow()
		x.wait(5 * time.Minute)
		x.set(nil, errors.New("connecting to api.example.com:443: connection refused"))
		x.wait(2 * time.Minute)
		x.load(w, "tls/api")
		x.wait(2 * time.Minute)
		x.expect("it restarted")
		x.set(nil, errors.New("connecting to api.example.com:443: connection refused"))
		x.wait(4 * time.Minute)
		x.expect("it stays away", "failure unreachable api api.example.com:443")
		if found := throttle.Circuits(w.Ledger.Events(t)); len(found) != 0 {
			t.Errorf("it got %v into trouble", found)
		}
		w.At = time.Now()
		if a := w.Only(); a.Kind != ledger.KindNone {
			t.Errorf("the plan is %+v", a)
		}
		x.set(nil, deniedError{})
		x.wait(time.Minute)
		x.expect("and is denied", "failure unreachable api api.example.com:443", "failure denied api api.example.com:443")
		x.Desired = reconciletest.Desire(reconciletest.Certificate("api", "api.example.com"))
		x.follow()
		x.wait(time.Second)
		x.expect("taken out", "failure unreachable api api.example.com:443", "failure denied api api.example.com:443", "success denied api api.example.com:443")
		if len(x.lookout.Results()) != 0 {
			t.Error("it is still looked at")
		}
	}, probed("api", "api.example.com"))
}

// TestLookoutSurvives checks that a restart repeats no event and records what ended
// meanwhile, and that events from a Git outage are recorded later.
func TestLookoutSurvives(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Settle()
		first, stop := watchOver(w, monitor.Options{After: time.Nanosecond})
		first.load(w, "tls/api")
		rotate(w, "first")
		first.follow()
		first.wait(16 * time.Minute)
		first.expect("stale", "failure stale api api.example.com:443")
		stop()

		second, stop := watchOver(w, monitor.Options{After: time.Nanosecond})
		second.set(first.chain, nil)
		second.follow()
		second.wait(time.Hour)
		second.expect("after a restart", "failure stale api api.example.com:443")
		stop()

		third, stop := watchOver(w, monitor.Options{})
		defer stop()
		third.load(w, "tls/api")
		third.follow()
		w.Ledger.Mu.Lock()
		w.Ledger.Err = errors.New("connection refused")
		w.Ledger.Mu.Unlock()
		third.wait(20 * time.Minute)
		if len(third.failed) == 0 || len(third.failed) > 20 {
			t.Errorf("while Git is away it fails %d times", len(third.failed))
		}
		w.Ledger.Mu.Lock()
		w.Ledger.Err = nil
		w.Ledger.Mu.Unlock()
		third.failed = nil
		third.wait(2 * time.Minute)
		if !third.isRepeated {
			t.Error("that it can be told again is not said")
		}
		third.expect("when Git is back", "failure stale api api.example.com:443", "success stale api api.example.com:443")
	}, probed("api", "api.example.com"))
}

// TestLookoutIsAheadOfThePass checks that a consumer that loads a new certificate
// before the pass has ended is not reported as serving a foreign one.
func TestLookoutIsAheadOfThePass(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Settle()
		x, stop := watchOver(w, monitor.Options{After: time.Nanosecond})
		defer stop()
		x.follow()
		time.Sleep(time.Second)
		rotate(w, "first")
		x.load(w, "tls/api")
		x.wait(time.Hour)
		x.expect("ahead of the pass")
		if got := x.lookout.Results(); len(got) != 1 || got[0].Verdict != monitor.VerdictCurrent {
			t.Errorf("the looks are %+v", got)
		}
		w.Vault.Mu.Lock()
		w.Vault.Fail = func(op, path string) error {
			return errors.New("sealed")
		}
		w.Vault.Mu.Unlock()
		x.set(issued(t, w.Ca, 0, times.Day, "api.example.com"), nil)
		x.wait(time.Hour)
		x.expect("while Vault is away")
		if got := x.lookout.Results(); got[0].Verdict != monitor.VerdictCurrent || time.Since(got[0].At) < 45*time.Minute {
			t.Errorf("unsure, it says %+v", got)
		}
	}, probed("api", "api.example.com"))
}

// TestLookoutAfterAClockAhead checks that a certificate issued while the clock was
// ahead gets no longer grace period than any other.
func TestLookoutAfterAClockAhead(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Opts.Now = func() time.Time { return time.Now().AddDate(0, 0, 20) }
		w.Settle()
		w.Opts.Now = time.Now
		x, stop := watchOver(w, monitor.Options{})
		defer stop()
		x.set(issued(t, w.Ca, time.Hour, times.Day, "api.example.com"), nil)
		x.follow()
		x.wait(3 * time.Hour)
		x.expect("it serves another", "failure other_certificate api api.example.com:443")
	}, probed("api", "api.example.com"))
}

// TestLookoutIsSpread checks that probes are spread over the interval, that their times
// survive a restart, and that few run at once.
func TestLookoutIsSpread(t *testing.T) {
	var list []*spec.Certificate
	for i := range 200 {
		list = append(list, probed(fmt.Sprintf("c%03d", i), fmt.Sprintf("c%03d.example.com", i)))
	}
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Settle()
		moments := func() map[string]time.Duration {
			x, stop := watchOver(w, monitor.Options{})
			defer stop()
			x.set(issued(t, w.Ca, time.Hour, times.Day, "c000.example.com"), nil)
			x.follow()
			x.wait(15*time.Minute + 30*time.Second)
			buckets := map[int]int{}
			for _, at := range x.when {
				buckets[int(at.Sub(at.Truncate(15*time.Minute))/time.Minute)]++
			}
			if len(x.looks) != 200 || len(buckets) < 15 || x.most > monitor.ProbesAtOnce {
				t.Errorf("%d endpoints in %d different minutes, %d at once", len(x.looks), len(buckets), x.most)
			}
			for minute, n := range buckets {
				if n > 40 {
					t.Errorf("%d looks in minute %d", n, minute)
				}
			}
			found := map[string]time.Duration{}
			for s, one := range x.lookout.Watched {
				found[s.Endpoint] = one.Next.Sub(one.Next.Truncate(15 * time.Minute))
			}
			return found
		}
		first, second := moments(), moments()
		for endpoint, at := range first {
			if second[endpoint] != at {
				t.Errorf("%s is looked at %s and then %s into the interval", endpoint, at, second[endpoint])
			}
		}
	}, list...)
}

// TestLookoutNothing checks that nothing is probed while Vault has no certificate to
// compare with.
func TestLookoutNothing(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		x, stop := watchOver(w, monitor.Options{})
		x.lookout.Follow(nil, ledger.Revision{})
		x.follow()
		x.wait(time.Hour)
		stop()
		if len(x.looks) != 0 || len(w.Ledger.Messages) != 0 {
			t.Errorf("it looked at %v and told %q", x.looks, w.Ledger.Messages)
		}
		looks, err := monitor.Probe(context.Background(), x.r, &x.consumer, w.Plan(), 0, nil)
		if err != nil || len(looks) != 1 || looks[0].Verdict != monitor.VerdictUnissued || looks[0].Verdict.Problem() {
			t.Errorf("one look is %+v (%v)", looks, err)
		}
	}, probed("api", "api.example.com"))
}

// TestLookoutStops checks that stopping the lookout ends a slow probe.
func TestLookoutStops(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Settle()
		x, stop := watchOver(w, monitor.Options{Interval: time.Minute})
		x.during = func() { x.set(nil, nil) }
		x.set(issued(t, w.Ca, 0, times.Day, "api.example.com"), nil)
		x.follow()
		for len(x.moments()) == 0 {
			x.wait(time.Second / 2)
		}
		stop()
		x.expect("stopped in a look")
		if len(x.lookout.Results()) != 0 {
			t.Errorf("a look that was ended counts: %+v", x.lookout.Results())
		}
	}, probed("api", "api.example.com"))
}

// moments returns the times of all probes.
func (c *consumer) moments() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.when)
}

// TestProbeOnce checks certroll probe for some certificates and for all.
func TestProbeOnce(t *testing.T) {
	reconciletest.Bubble(t, func(w *reconciletest.World, _ *reconciletest.MemRepo) {
		w.Settle()
		c, r := &consumer{}, w.Reconciler()
		c.load(w, "tls/api")
		for _, tc := range []struct {
			names []string
			want  string
		}{
			{nil, "api b.example.com:443 current, api a.example.com:443 current, web web.example.com:443 waiting"},
			{[]string{"web"}, "web web.example.com:443 waiting"},
		} {
			looks, err := monitor.Probe(context.Background(), r, c, w.Plan(), 0, tc.names)
			var got []string
			for _, l := range looks {
				got = append(got, fmt.Sprint(l.Certificate, " ", l.Endpoint, " ", l.Verdict))
			}
			want := strings.Split(tc.want, ", ")
			slices.Sort(want)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("of %v it saw %q (%v), want %q", tc.names, got, err, want)
			}
		}
	}, probed("api", "b.example.com", "a.example.com"), probed("web", "web.example.com"))
}
