package reconcile

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"certroll/examples/lab/labtest"
	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestYearOfShortLives: certificates of 45 days and of 160 hours through a
// year with nothing wrong. Each is renewed inside its window, none doubly.
func TestYearOfShortLives(t *testing.T) {
	for name, tc := range map[string]struct {
		lifetime time.Duration
		again    time.Duration
		each     int // orders of one certificate in a year, at the least and
		most     int
	}{
		"45 days":   {45 * times.Day, 6 * time.Hour, 12, 14},
		"160 hours": {160 * time.Hour, 6 * time.Hour, 108, 112},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 5
				cs := crowd(n, "example.com")
				s := newSim(t, 1, tc.lifetime, tc.again, cs...)
				s.start()
				s.until(365 * times.Day)
				s.stop()
				r := s.sum()
				s.log(t, r)
				c := s.ca.counts
				if c.issued != c.orders || c.issued != r.renewals || c.issued < n*tc.each || c.issued > n*tc.most || s.vault.doubly > 0 {
					t.Errorf("%d orders, %d issued, %d told, %d doubly", c.orders, c.issued, r.renewals, s.vault.doubly)
				}
				if c.inWindow != c.issued-n || c.replaced != c.issued-n {
					t.Errorf("of %d renewals %d were sent inside the window, %d with replaces", c.issued-n, c.inWindow, c.replaced)
				}
				if r.failures+r.denied+c.refused > 0 || r.least < tc.lifetime/4 {
					t.Errorf("%+v, %d refused", r, c.refused)
				}
			})
		})
	}
}

// TestYearOfFailures: a thousand certificates, and all that goes wrong in a
// bad year; under make test, two hundred. None expires, as no failure lasts as long as the thirty days there
// are for it; no limit of the CA is ever met.
func TestYearOfFailures(t *testing.T) {
	for name, tc := range map[string]struct {
		n     int
		again time.Duration // between two questions for renewal information; 0: the CA has none
	}{
		"by their threshold": {1000, 0},
		"by ARI":             {60, 12 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			n := tc.n
			switch {
			case testing.Short() || labtest.Race:
				n = min(n, 60)
			case labtest.Only(): // a thousand take two and a half minutes; make integration has them
				n = min(n, 200)
			}
			synctest.Test(t, func(t *testing.T) { yearOfFailures(t, n, tc.again) })
		})
	}
}

func yearOfFailures(t *testing.T, n int, again time.Duration) {
	s := newSim(t, 20261125, 90*times.Day, again, portfolio(n)...)
	for _, name := range []string{"a", "b", "dr"} {
		s.desired.DNS[name] = &spec.DNSAccount{Name: name, Challenge: spec.DNS01, Credentials: map[string]spec.Value{"TOKEN": {Source: spec.FromEnv, Name: "dns." + name}}}
	}
	if n > 300 { // the account of whoever has so many has a higher limit
		s.desired.Issuers["ca"].Limits.Orders.Burst, s.ca.limits.Orders.Burst = n, n
	}
	s.ca.wrong = func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Truncate(time.Hour) } // what is due together costs one pass
	longest := s.badYear()
	s.start()
	s.live(365 * times.Day)
	s.stop()
	r := s.sum()
	s.log(t, r)
	t.Logf("the longest failure lasts %.1f days; %d questions for renewal information", longest.Hours()/24, s.ca.counts.asked)
	if longest >= 30*times.Day {
		t.Fatal("a failure lasts longer than there is time for")
	}
	if r.least <= 0 {
		t.Errorf("a certificate expired %s ago", -r.least)
	}
	if len(s.vault.until) != n {
		t.Errorf("%d of %d certificates are live", len(s.vault.until), n)
	}
	if s.ca.counts.refused > 0 {
		t.Errorf("%d times a limit of the CA was met", s.ca.counts.refused)
	}
	if r.renewals < 5*n || r.perRenewal > 1.15 || s.vault.doubly > 0 {
		t.Errorf("%d renewals, %.3f orders for each, %d doubly", r.renewals, r.perRenewal, s.vault.doubly)
	}
}

// portfolio are n certificates of several domains and DNS accounts, some with
// a second account behind the first.
func portfolio(n int) []*spec.Certificate {
	cs := crowd(n, "example.com")
	for i, c := range cs {
		c.Domains[0].ASCII = fmt.Sprintf("%s.example%d.org", c.Name, i%40)
		c.DNS = []string{[]string{"lab", "a", "b"}[i%3]}
		if i%4 == 0 {
			c.DNS = append(c.DNS, "dr")
		}
	}
	return cs
}

// badYear draws what goes wrong, and says how long the longest of it lasts for
// one certificate: faults that overlap or follow closely are one.
func (s *sim) badYear() (longest time.Duration) {
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(s.rng.Int63n(int64(most-least)))
	}
	several := func(what string, n int, least, most time.Duration) {
		for range n {
			s.faults.add(what, s.began.Add(between(5*times.Day, 355*times.Day)), between(least, most))
		}
	}
	several("ca", 12, 2*time.Hour, 3*times.Day)
	several("limit", 6, time.Hour, times.Day)
	several("vault", 8, time.Hour, 10*time.Hour)
	several("git", 4, time.Hour, 8*time.Hour)
	several("off", 1, 7*times.Day, 7*times.Day+1)
	for _, name := range []string{"lab", "a", "b", "dr"} {
		several("dns."+name, 3, times.Day, 9*times.Day)
	}
	for _, c := range s.desired.Certificates {
		if s.rng.Intn(8) == 0 {
			several("name."+c.Names()[0], 1, times.Day, 12*times.Day)
		}
	}
	for _, c := range s.desired.Certificates {
		longest = max(longest, s.faults.longest("ca", "limit", "vault", "off", "dns."+c.DNS[0], "name."+c.Names()[0]))
	}
	return longest
}

// longest is how long some faults last on end, with no day free between them.
func (f *faults) longest(whats ...string) (longest time.Duration) {
	var all []fault
	for _, what := range whats {
		all = append(all, f.list[what]...)
	}
	slices.SortFunc(all, func(a, b fault) int { return a.from.Compare(b.from) })
	var from, to time.Time
	for _, one := range all {
		if one.from.After(to.Add(times.Day)) {
			from = one.from
		}
		if one.to.After(to) {
			to = one.to
		}
		longest = max(longest, to.Sub(from))
	}
	return longest
}

// live lets the time pass: the reconciler starts anew now and then, is off for
// a week, and for some hours its clock is days ahead.
func (s *sim) live(age time.Duration) {
	for end := s.began.Add(age); time.Now().Before(end); {
		time.Sleep(12 * time.Hour)
		switch off := s.faults.until("off"); {
		case !off.IsZero():
			s.stop()
			time.Sleep(time.Until(off))
			s.start()
		case s.rng.Intn(20) == 0:
			s.stop()
			s.start()
		}
		switch old := time.Since(s.began) / times.Day; {
		case old == 120 && s.ahead.Load() == 0:
			s.ahead.Store(int64(3 * times.Day))
		case old == 121:
			s.ahead.Store(0)
		}
	}
}

// TestCrashLoop: for an hour a process that starts every few seconds, and dies
// at any step, while the CA refuses. The back-off bounds what it is asked.
func TestCrashLoop(t *testing.T) {
	refusals := map[string]func(*sim){
		"the CA is down":            func(s *sim) { s.faults.add("ca", time.Now(), times.Day) },
		"the DNS account refuses":   func(s *sim) { s.faults.add("dns.lab", time.Now(), times.Day) },
		"the name cannot be proved": func(s *sim) { s.faults.add("name.caaa.example.com", time.Now(), times.Day) },
		"nothing but the crashes":   func(*sim) {},
	}
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 7, 90*times.Day, 0, crowd(1, "example.com")...)
				s.opts.Patience = []time.Duration{}
				s.start()
				s.until(59 * times.Day)
				s.stop()
				s.until(61 * times.Day)
				before := s.ca.counts
				refuse(s)
				asked, starts := 0, 0
				ca := s.ca.counts
				for end := time.Now().Add(time.Hour); time.Now().Before(end); starts++ {
					dies := 1 + s.rng.Intn(30)
					s.dieAt(dies, &asked)
					time.Sleep(time.Duration(1+s.rng.Intn(8)) * time.Second)
				}
				t.Logf("%d starts: %d calls of the CA for a certificate, %d orders, %d failures", starts, asked, s.ca.counts.orders-before.orders, s.ca.counts.failed-ca.failed)
				if n := s.ca.counts.orders - before.orders; n > 5 {
					t.Errorf("%d orders", n)
				}
				if asked == 0 || asked > 30 {
					t.Errorf("the CA was called %d times within %d starts", asked, starts)
				}
				if s.ca.counts.refused > 0 {
					t.Errorf("%d times a limit of the CA was met", s.ca.counts.refused)
				}
			})
		})
	}
}

// dieAt runs a process that dies at the n-th call of any port.
func (s *sim) dieAt(n int, asked *int) {
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	var dead atomic.Bool
	left := atomic.Int64{}
	left.Store(int64(n))
	step := func() error {
		if left.Add(-1) <= 0 {
			dead.Store(true)
			kill()
			return errors.New("killed")
		}
		return nil
	}
	sealed := s.vault.fail
	s.vault.fail = func(string, string) error { return step() }
	defer func() { s.vault.fail = sealed }()
	ca := &dyingCA{s.ca, step, asked}
	observer := &observe.Observer{Metadata: s.vault, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}
	r := apply.New(observer, s.vault, ca, &deadLedger{s.ledger, &dead}, &dyingJournal{s.journal, &dead}, s.opts)
	obs, err := r.Observe(ctx, s.desired)
	if err != nil {
		return
	}
	_, _ = r.Apply(ctx, s.desired, ledger.Revision{Commit: "c0ffee"}, plan.Plan(s.desired, obs, s.opts.Now()))
}

type deadLedger struct {
	*memLedger
	dead *atomic.Bool
}

func (l *deadLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	if l.dead.Load() {
		return "", errors.New("killed")
	}
	return l.memLedger.Commit(ctx, message, edit)
}

// dyingCA counts what it is asked, and is the last thing a process sees.
type dyingCA struct {
	*simCA
	step  func() error
	asked *int
}

func (ca *dyingCA) Order(ctx context.Context, i *spec.Issuer, names []string, replaces string) (string, bool, error) {
	*ca.asked++
	url, replaced, err := ca.simCA.Order(ctx, i, names, replaces)
	if dead := ca.step(); dead != nil { // the CA has it, the process does not
		return "", false, dead
	}
	return url, replaced, err
}

func (ca *dyingCA) Finish(ctx context.Context, i *spec.Issuer, url string, csr []byte, accounts []*spec.DNSAccount, report func(string, string)) ([]byte, string, []error, error) {
	*ca.asked++
	chain, account, passed, err := ca.simCA.Finish(ctx, i, url, csr, accounts, report)
	if dead := ca.step(); dead != nil {
		return nil, "", nil, dead
	}
	return chain, account, passed, err
}

// TestSealedVaultIsAskedOnceAMinute, also where the CA is to be asked and
// something is due meanwhile.
func TestSealedVaultIsAskedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 1, 90*times.Day, 6*time.Hour, crowd(3, "example.com")...)
		s.start()
		s.until(59 * times.Day)
		s.faults.add("vault", time.Now(), 4*times.Day)
		s.vault.mu.Lock()
		asked, sealed := 0, s.vault.fail
		s.vault.fail = func(op, path string) error {
			asked++
			return sealed(op, path)
		}
		s.vault.mu.Unlock()
		time.Sleep(2 * times.Day)
		s.vault.mu.Lock()
		if asked > 2*24*60*3 {
			t.Errorf("a sealed Vault is asked %d times within two days", asked)
		}
		s.vault.mu.Unlock()
		s.until(64 * times.Day)
		s.stop()
		if r := s.sum(); r.renewals != 6 || r.least < 26*times.Day {
			t.Errorf("%+v", r)
		}
	})
}
