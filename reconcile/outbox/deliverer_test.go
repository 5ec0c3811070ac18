package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/lease"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/outbox"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec/text"
)

// mailbox is an in-memory destination.
type mailbox struct {
	mu     sync.Mutex
	err    error
	tries  []time.Time
	got    []string // kinds and certificates
	ids    []string // ID of each delivery
	bodies []string // body of each delivery
	on     []outbox.NoticeKind
	state  *reconciletest.MemAnchor
	lease  lease.Lease
	refuse func(n int) error // error of the n-th delivery
}

// composed returns a body that contains its creation time.
func composed(b outbox.Notification) ([]byte, error) {
	line := strings.TrimSpace(string(b.Kind) + " " + strings.Join(b.Certificates(), " "))
	return []byte(line + "\n" + time.Now().String()), nil
}

func (m *mailbox) deliver(_ context.Context, sent outbox.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries, m.ids, m.bodies = append(m.tries, time.Now()), append(m.ids, sent.ID), append(m.bodies, string(sent.Body))
	if m.refuse != nil {
		if err := m.refuse(len(m.tries)); err != nil {
			return err
		}
	}
	if m.err != nil {
		return m.err
	}
	m.got = append(m.got, text.FirstLine(string(sent.Body)))
	return nil
}

func (m *mailbox) away(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *mailbox) destination(name string) outbox.Destination {
	if m.state == nil {
		m.state = &reconciletest.MemAnchor{}
	}
	if m.on == nil {
		m.on = outbox.UsualNotices()
	}
	return outbox.Destination{Name: name, Interest: outbox.Interest{On: m.on}, Compose: composed, Deliver: m.deliver, State: m.state, Lease: m.lease}
}

// post is a ledger with a notifier in a synctest bubble.
type post struct {
	t      *testing.T
	r      *apply.Reconciler
	ledger *reconciletest.MemLedger
	n      *outbox.Notifier
	stop   func()
	serial int
}

func newPost(t *testing.T) *post {
	p := &post{t: t, ledger: reconciletest.NewMemLedger()}
	p.r = apply.New(&observe.Observer{}, nil, nil, p.ledger, &reconciletest.MemJournal{}, attempt.Options{})
	return p
}

// start runs a notifier, as a certroll process does; earlier events count as old.
func (p *post) start(boxes ...*mailbox) {
	var all []outbox.Destination
	for i, m := range boxes {
		all = append(all, m.destination(fmt.Sprint(i)))
	}
	n := outbox.NewNotifier(p.r.Recorder, all, outbox.NotifierOptions{Since: time.Now()})
	p.n = n
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	p.stop = func() { cancel(); <-done }
}

// tell records events in the ledger, as a pass does.
func (p *post) tell(events ...ledger.Event) {
	p.t.Helper()
	for _, e := range events {
		p.serial++
		e.ID, e.Time, e.Schema = fmt.Sprintf("e%d", p.serial), time.Now().UTC().Truncate(time.Millisecond), ledger.EventSchema
		if err := p.r.Writer.Note(ledger.Entry{Event: e}); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := p.r.Tell(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	if _, _, err := p.r.Snapshot(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	if p.n != nil {
		p.n.Wake()
	}
	synctest.Wait()
}

func (p *post) got(m *mailbox, want ...string) {
	p.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.got, want) {
		p.t.Errorf("got %q, want %q", m.got, want)
	}
}

// TestCourierTellsWhatComes checks that new events are delivered, and earlier ones are
// not.
func TestCourierTellsWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPost(t), &mailbox{}
		p.tell(failedTimes("old", 1))
		time.Sleep(time.Hour)
		p.start(m)
		p.tell(failedTimes("x", 1), failedTimes("y", 1))
		p.tell(failedTimes("x", 2))
		p.tell(renewedAfter("x", 2))
		p.got(m, "failing x y", "recovered x")
		p.stop()
		// The next process continues where this one stopped.
		p.start(m)
		p.tell(failedTimes("z", 1))
		p.stop()
		p.got(m, "failing x y", "recovered x", "failing z")
	})
}

// TestCourierNew checks that the first event of a new ledger is delivered.
func TestCourierNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPost(t), &mailbox{}
		p.start(m)
		defer p.stop()
		p.tell(failedTimes("x", 1))
		p.got(m, "failing x")
	})
}

// TestCourierPace checks that an unreachable destination is retried with growing waits,
// gets everything when it is back, and delays no other destination.
func TestCourierPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dead, alive := newPost(t), &mailbox{err: errors.New("no route to host")}, &mailbox{}
		p.start(dead, alive)
		defer p.stop()
		p.tell(failedTimes("x", 1))
		p.got(alive, "failing x")
		for i := range 6 * 24 { // passes over three days
			time.Sleep(30 * time.Minute)
			p.tell(ledger.Event{Operation: ledger.KindIssue, Certificate: fmt.Sprintf("c%d", i), Issuer: "le", Status: ledger.Failed, Class: ledger.ClassCAA, Failures: 1, Message: "CAA of a" + string(rune('a'+i%7)) + " forbids it"})
		}
		dead.mu.Lock()
		var waits []time.Duration
		for i := range dead.tries[1:] {
			waits = append(waits, dead.tries[i+1].Sub(dead.tries[i]))
		}
		ids, bodies := slices.Compact(slices.Clone(dead.ids)), slices.Compact(slices.Clone(dead.bodies))
		dead.mu.Unlock()
		want := []time.Duration{5 * time.Second, 30 * time.Second, 3 * time.Minute, 18 * time.Minute, time.Hour, time.Hour}
		if len(waits) < 60 || len(waits) > 80 || !slices.Equal(waits[:len(want)], want) {
			t.Errorf("%d tries, the first after %v; want %v", len(waits)+1, waits[:min(len(waits), 6)], want)
		}
		if len(ids) != 1 || len(bodies) != 1 {
			t.Errorf("one message was tried under %d ids and with %d bodies", len(ids), len(bodies))
		}
		dead.away(nil)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		dead.mu.Lock()
		defer dead.mu.Unlock()
		if len(dead.got) != 2 || dead.got[0] != "failing x" || !strings.HasPrefix(dead.got[1], "digest c0 c1 c10 ") {
			t.Errorf("after it was back it got %d messages: %.200q", len(dead.got), dead.got)
		}
	})
}

// TestCourierGoesOnAmongMessages checks that messages already delivered are not sent
// again, and that the back-off stays, also after a restart.
func TestCourierGoesOnAmongMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t)
		m := &mailbox{refuse: func(n int) error {
			if n == 2 {
				return errors.New("busy")
			}
			return nil
		}}
		p.start(m)
		caa := func(name, message string) ledger.Event {
			return ledger.Event{Operation: ledger.KindIssue, Certificate: name, Issuer: "le", Status: ledger.Failed, Class: ledger.ClassCAA, Failures: 1, Message: message}
		}
		p.tell(caa("x", "one"), caa("y", "two"), caa("z", "three"))
		p.got(m, "failing x")
		p.stop()
		began := time.Now()
		p.start(m)
		p.tell(renewedAfter("x", 1))
		p.got(m, "failing x")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		p.stop()
		p.got(m, "failing x", "failing y", "failing z", "recovered x")
		if first := m.tries[2]; first.Sub(began) < 4*time.Second {
			t.Errorf("a restart shortened the wait to %s", first.Sub(began))
		}
	})
}

// memLease admits one of several holders.
type memLease struct {
	mu *sync.Mutex
	by *string
	me string
}

func (l memLease) Acquire(context.Context) (bool, string, time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *l.by == "" {
		*l.by = l.me
	}
	return *l.by == l.me, *l.by, time.Now().Add(time.Minute), nil
}

func (l memLease) Release(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.by = ""
	return nil
}

// TestCourierReplicas checks that only one of two replicas with the same ledger
// delivers.
func TestCourierReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, state, by, mu := newPost(t), &reconciletest.MemAnchor{}, "", &sync.Mutex{}
		slow := func(int) error { time.Sleep(3 * time.Second); return nil }
		a, b := &mailbox{state: state, refuse: slow, lease: memLease{mu, &by, "a"}}, &mailbox{state: state, refuse: slow, lease: memLease{mu, &by, "b"}}
		p.start(a)
		first, stop := p.n, p.stop
		p.start(b)
		defer func() { p.stop(); stop() }()
		p.tell(ledger.Event{Operation: ledger.KindNote, Status: ledger.Success})
		p.tell(failedTimes("x", 1))
		first.Wake()
		time.Sleep(time.Minute)
		synctest.Wait()
		if all := slices.Concat(a.got, b.got); !slices.Equal(all, []string{"failing x"}) {
			t.Errorf("a got %q, b got %q", a.got, b.got)
		}
	})
}

// TestCourierAfterARewrite checks that a rewritten ledger loses no notice.
func TestCourierAfterARewrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPost(t), &mailbox{}
		p.start(m)
		defer p.stop()
		p.tell(failedTimes("x", 1))
		time.Sleep(48 * time.Hour)
		p.tell(failedTimes("y", 1))
		p.ledger.Mu.Lock()
		p.ledger.Tree, p.ledger.Messages = fstest.MapFS{}, append(p.ledger.Messages, "made anew")
		p.ledger.Mu.Unlock()
		p.tell(failedTimes("z", 1))
		p.got(m, "failing x", "failing y", "failing z")
	})
}

// sealable is a checkpoint store whose writes may fail.
type sealable struct {
	*reconciletest.MemAnchor
	sealed func() bool
}

func (a sealable) Store(ctx context.Context, fields map[string]string, version int) error {
	if a.sealed() {
		return errors.New("Vault is sealed")
	}
	return a.MemAnchor.Store(ctx, fields, version)
}

// TestCourierWithoutVault checks that certroll sends only messages stored in Vault, so
// that a receiver can recognize a duplicate. A delivery made before Vault failed is
// stored when Vault is back, and not repeated.
func TestCourierWithoutVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m, sealed := newPost(t), &mailbox{}, false
		d := m.destination("ops")
		d.State = sealable{m.state, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return sealed }}
		seal := func(is bool) { m.mu.Lock(); sealed = is; m.mu.Unlock() }
		p.n = outbox.NewNotifier(p.r.Recorder, []outbox.Destination{d}, outbox.NotifierOptions{Since: time.Now()})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); p.n.Run(ctx) }()
		defer func() { cancel(); <-done }()
		p.tell(ledger.Event{Operation: ledger.KindNote, Status: ledger.Success})
		seal(true)
		p.tell(failedTimes("x", 1))
		time.Sleep(time.Hour)
		synctest.Wait()
		p.got(m)
		m.mu.Lock()
		sealed, m.refuse = false, func(int) error { sealed = true; return nil }
		m.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		p.got(m, "failing x")
		if fields := m.state.Fields; fields["after"] != "" || fields["sent"] != "0" {
			t.Errorf("while it is sealed Vault keeps %q, sent %q", fields["after"], fields["sent"])
		}
		m.mu.Lock()
		sealed, m.refuse = false, nil
		m.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if after := m.state.Fields["after"]; after != "e2" {
			t.Errorf("kept is %q", after)
		}
		p.tell(failedTimes("y", 1))
		p.got(m, "failing x", "failing y")
	})
}

// TestCourierSendsTheSame checks that the next process sends the message of a killed
// one unchanged, although the certificate or the destination's settings may have
// changed since.
func TestCourierSendsTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPost(t), &mailbox{}
		var atKill map[string]string
		m.refuse = func(n int) error {
			if n == 1 { // only what Vault has at this point survives
				atKill = maps.Clone(m.state.Fields)
			}
			return nil
		}
		p.start(m)
		p.tell(ledger.Event{Operation: ledger.KindIssue, Certificate: "x", Issuer: "le", Status: ledger.Failed, Class: ledger.ClassCAA, Failures: 1, Message: "one"}, renewedAfter("w", 1))
		p.got(m, "failing x", "recovered w")
		p.stop()
		m.state.Fields = atKill
		p.tell(renewedAfter("x", 1))
		time.Sleep(times.Day)
		m.on = []outbox.NoticeKind{outbox.NoticeRecovered}
		p.start(m)
		time.Sleep(time.Second)
		synctest.Wait()
		p.stop()
		p.got(m, "failing x", "recovered w", "failing x", "recovered w", "recovered x")
		if !slices.Equal(m.ids[:2], m.ids[2:4]) || !slices.Equal(m.bodies[:2], m.bodies[2:4]) {
			t.Errorf("what was sent again is not what was sent: %q %q", m.ids, m.bodies)
		}
	})
}

// TestCourierTooLargeToKeep checks that messages too large for Vault are still sent.
func TestCourierTooLargeToKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPost(t), &mailbox{}
		d := m.destination("ops")
		d.Compose = func(b outbox.Notification) ([]byte, error) {
			return append([]byte("large\n"), make([]byte, outbox.MostStored)...), nil
		}
		n := outbox.NewNotifier(p.r.Recorder, []outbox.Destination{d}, outbox.NotifierOptions{Since: time.Now()})
		p.tell(failedTimes("x", 1))
		n.Once(t.Context())
		n.Once(t.Context())
		p.got(m, "large")
		if after := m.state.Fields["after"]; after != "e1" {
			t.Errorf("kept is %q", after)
		}
	})
}

// TestCourierOfAStrangersEvent checks that an event with an impossible certificate
// name, pushed by anybody with access to the ledger, does not silence a destination.
func TestCourierOfAStrangersEvent(t *testing.T) {
	notices := outbox.Notices(story(failedTimes("../../x", 1), failedTimes("", 1)), 0)
	if records, err := outbox.ReadSome(os.DirFS(t.TempDir()), notices); err != nil || len(records) != 0 {
		t.Errorf("of %v it reads %v: %v", notices, records, err)
	}
}

// TestCourierAfterAClockAhead checks that times stored while the clock ran ahead do not
// silence a destination once the clock is right.
func TestCourierAfterAClockAhead(t *testing.T) {
	for name, left := range map[string]func(ahead time.Time, f map[string]string){
		"a next try": func(ahead time.Time, f map[string]string) {
			f["retry_at"], f["tries"] = ahead.Format(outbox.StoredTime), "3"
		},
		"a place": func(ahead time.Time, f map[string]string) { f["after_at"] = ahead.Format(outbox.StoredTime) },
		"a place before": func(ahead time.Time, f map[string]string) {
			f["after"], f["after_at"] = "", ahead.Format(outbox.StoredTime)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, m := newPost(t), &mailbox{}
				p.start(m)
				p.tell(ledger.Event{Operation: ledger.KindNote, Status: ledger.Success})
				p.stop()
				left(time.Now().AddDate(1, 0, 0), m.state.Fields)
				p.start(m)
				time.Sleep(time.Second)
				synctest.Wait()
				p.tell(failedTimes("x", 1))
				p.stop()
				p.got(m, "failing x")
			})
		})
	}
}

// TestCourierClockSetBack checks that a running process keeps delivering when its clock
// is set back.
func TestCourierClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPost(t), &mailbox{err: errors.New("busy")}
		var ahead atomic.Int64
		ahead.Store(int64(365 * times.Day))
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		p.r = apply.New(&observe.Observer{}, nil, nil, p.ledger, &reconciletest.MemJournal{}, attempt.Options{Now: now})
		p.start(m)
		defer func() { p.stop() }()
		p.tell(failedTimes("x", 1))
		m.away(nil)
		ahead.Store(0)
		time.Sleep(time.Minute)
		p.tell(failedTimes("y", 1))
		p.got(m, "failing x", "failing y")
	})
}

// TestCourierBehind checks that a replica with an older ledger does not treat events
// already delivered by another replica as a rewritten ledger.
func TestCourierBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := newPost(t), &mailbox{}
		p.start(m)
		p.tell(failedTimes("x", 1))
		older := apply.New(&observe.Observer{}, nil, nil, p.ledger, &reconciletest.MemJournal{}, attempt.Options{})
		if _, _, err := older.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		p.tell(failedTimes("y", 1))
		p.stop()
		outbox.NewNotifier(older.Recorder, []outbox.Destination{m.destination("0")}, outbox.NotifierOptions{Since: time.Now()}).Once(t.Context())
		p.got(m, "failing x", "failing y")
	})
}
