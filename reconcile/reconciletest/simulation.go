package reconciletest

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// BadYear draws the faults of a year and returns the longest time that one certificate is
// affected: faults that overlap or follow closely count as one.
func (s *Sim) BadYear() (longest time.Duration) {
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(s.Rng.Int63n(int64(most-least)))
	}
	several := func(what string, n int, least, most time.Duration) {
		for range n {
			s.Faults.Add(what, s.Began.Add(between(5*times.Day, 355*times.Day)), between(least, most))
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
	for _, c := range s.Desired.Certificates {
		if s.Rng.Intn(8) == 0 {
			several("name."+c.Names()[0], 1, times.Day, 12*times.Day)
		}
	}
	for _, c := range s.Desired.Certificates {
		longest = max(longest, s.Faults.longest("ca", "limit", "vault", "off", "dns."+c.DNS[0], "name."+c.Names()[0]))
	}
	return longest
}

// longest returns the longest time of some faults without a free day in between.
func (f *faults) longest(whats ...string) (longest time.Duration) {
	var all []Fault
	for _, what := range whats {
		all = append(all, f.List[what]...)
	}
	slices.SortFunc(all, func(a, b Fault) int { return a.From.Compare(b.From) })
	var from, to time.Time
	for _, one := range all {
		if one.From.After(to.Add(times.Day)) {
			from = one.From
		}
		if one.To.After(to) {
			to = one.To
		}
		longest = max(longest, to.Sub(from))
	}
	return longest
}

// Live runs the simulation. The reconciler restarts now and then and is off for a week,
// and for some hours its clock is days ahead.
func (s *Sim) Live(age time.Duration) {
	for end := s.Began.Add(age); time.Now().Before(end); {
		time.Sleep(12 * time.Hour)
		switch off := s.Faults.until("off"); {
		case !off.IsZero():
			s.Stop()
			time.Sleep(time.Until(off))
			s.Start()
		case s.Rng.Intn(20) == 0:
			s.Stop()
			s.Start()
		}
		switch old := time.Since(s.Began) / times.Day; {
		case old == 120 && s.ahead.Load() == 0:
			s.ahead.Store(int64(3 * times.Day))
		case old == 121:
			s.ahead.Store(0)
		}
	}
}

// DieAt runs a process that dies at the n-th call of any port.
func (s *Sim) DieAt(n int, asked *int) {
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
	sealed := s.Vault.Fail
	s.Vault.Fail = func(string, string) error { return step() }
	defer func() { s.Vault.Fail = sealed }()
	ca := &dyingCA{s.Ca, step, asked}
	observer := &observe.Observer{Metadata: s.Vault, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}
	r := apply.New(observer, s.Vault, ca, &deadLedger{s.Ledger, &dead}, &DyingJournal{s.Journal, &dead}, s.Opts)
	obs, err := r.Observe(ctx, s.Desired)
	if err != nil {
		return
	}
	_, _ = r.Apply(ctx, s.Desired, ledger.Revision{Commit: "c0ffee"}, plan.New(s.Desired, obs, s.Opts.Now()))
}

type deadLedger struct {
	*MemLedger
	dead *atomic.Bool
}

// Commit fails once the process is dead.
func (l *deadLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	if l.dead.Load() {
		return "", errors.New("killed")
	}
	return l.MemLedger.Commit(ctx, message, edit)
}

// dyingCA counts its calls. The process dies at one of them.
type dyingCA struct {
	*SimCA
	step  func() error
	asked *int
}

// Order implements attempt.CA, and may end the process.
func (ca *dyingCA) Order(ctx context.Context, i *spec.Issuer, names []string, replaces string) (string, bool, error) {
	*ca.asked++
	url, replaced, err := ca.SimCA.Order(ctx, i, names, replaces)
	if dead := ca.step(); dead != nil { // the CA has the order, but the process does not
		return "", false, dead
	}
	return url, replaced, err
}

// Finish implements attempt.CA, and may end the process.
func (ca *dyingCA) Finish(ctx context.Context, i *spec.Issuer, url string, csr []byte, accounts []*spec.DNSAccount, report func(string, string)) ([]byte, string, []error, error) {
	*ca.asked++
	chain, account, passed, err := ca.SimCA.Finish(ctx, i, url, csr, accounts, report)
	if dead := ca.step(); dead != nil {
		return nil, "", nil, dead
	}
	return chain, account, passed, err
}
