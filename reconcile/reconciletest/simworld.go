package reconciletest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// A simulated world: a CA with Let's Encrypt's limits and renewal information, DNS
// accounts, and a Vault and a Git that fail at times, all on the bubble's clock. The
// seed determines everything.

// Fault is a system that fails for a while.
type Fault struct {
	what     string // "ca", "git", "vault", "dns.NAME", "name.NAME"
	From, To time.Time
}

// faults are the faults of a run.
type faults struct {
	Mu   sync.Mutex
	List map[string][]Fault
	now  func() time.Time
}

func (f *faults) Add(what string, from time.Time, lasts time.Duration) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.List[what] = append(f.List[what], Fault{what, from, from.Add(lasts)})
}

// Active reports whether a system fails now, and the fault's number.
func (f *faults) Active(what string) bool {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	now := f.now()
	return slices.ContainsFunc(f.List[what], func(f Fault) bool { return !now.Before(f.From) && now.Before(f.To) })
}

// until returns when a failing system works again; zero if it works.
func (f *faults) until(what string) time.Time {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, f2 := range f.List[what] {
		if now := f.now(); !now.Before(f2.From) && now.Before(f2.To) {
			return f2.To
		}
	}
	return time.Time{}
}

// Past returns the number of faults that are over: each was fixed by a new credential.
func (f *faults) Past(what string) int {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	n := 0
	for _, f2 := range f.List[what] {
		if !f.now().Before(f2.To) {
			n++
		}
	}
	return n
}

// tokens is the CA's own token bucket, counted independently of package throttle.
type tokens struct {
	left float64
	at   time.Time
}

// SimCA is a CA that behaves like Let's Encrypt.
type SimCA struct {
	*MemCA
	Faults *faults
	Limits *spec.Limits
	asker  func() time.Time // the client's clock, which Retry-After is computed for
	Again  time.Duration    // Retry-After of renewal information, on a grid; 0: the CA offers none
	spent  map[string]*tokens
	Made   map[string]*simOrder
	sets   map[string]bool     // exact sets of names with a certificate
	ByARI  map[string]*simCert // by ARI identifier
	Counts struct{ Orders, Issued, Refused, InWindow, Replaced, Asked, Failed int }
}

type simOrder struct {
	names  []string
	exempt ledger.Exemption
	Chain  []byte
	Dead   bool
	Closed bool // never returned again, although nothing was issued
}

type simCert struct {
	Start, End time.Time // its window
	replaced   bool
}

// newSimCA returns a CA without orders.
func newSimCA(t testing.TB, f *faults, lifetime, again time.Duration) *SimCA {
	ca := &SimCA{MemCA: NewMemCA(t, f.now), Faults: f, Limits: LetsEncrypt(), Again: again,
		spent: map[string]*tokens{}, Made: map[string]*simOrder{}, sets: map[string]bool{}, ByARI: map[string]*simCert{}}
	ca.Lifetime = lifetime
	return ca
}

// bucket refills a bucket up to now.
func (ca *SimCA) bucket(key string, l spec.Limit) *tokens {
	b := ca.spent[key]
	if b == nil {
		b = &tokens{left: float64(l.Burst), at: ca.Now()}
		ca.spent[key] = b
	}
	b.left = min(float64(l.Burst), b.left+ca.Now().Sub(b.at).Seconds()/l.Refill().Seconds())
	b.at = ca.Now()
	return b
}

// uses returns the buckets that an order draws from by the CA's rules.
func (ca *SimCA) uses(names []string, free ledger.Exemption) map[string]spec.Limit {
	m := map[string]spec.Limit{}
	if free == "" {
		m["orders"] = ca.Limits.Orders
		for _, d := range ledger.Registered(names) {
			m["domain "+d] = ca.Limits.PerDomain
		}
	}
	if free != ledger.ExemptARI {
		m["set "+SetOf(names)] = ca.Limits.ExactSet
	}
	return m
}

// SetOf is the key of a set of names.
func SetOf(names []string) string { return strings.Join(slices.Sorted(slices.Values(names)), " ") }

// Away returns the error of an unreachable CA, or nil.
func (ca *SimCA) Away() error {
	if ca.Faults.Active("ca") {
		return &CaError{Code: "ca_unavailable", Text: "503 Service Unavailable"}
	}
	return nil
}

// busy returns the error of a CA that rejects orders for its own reasons until a time.
func (ca *SimCA) busy() error {
	if until := ca.Faults.until("limit"); !until.IsZero() {
		return &CaError{Code: "rate_limited", Text: "429 Service busy; retry later", At: until}
	}
	return nil
}

// Order implements attempt.CA.
func (ca *SimCA) Order(_ context.Context, _ *spec.Issuer, names []string, replaces string) (string, bool, error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	return ca.MakeOrder(names, replaces)
}

// MakeOrder is Order for a caller that holds ca.Mu.
func (ca *SimCA) MakeOrder(names []string, replaces string) (string, bool, error) {
	if err := errors.Join(ca.Away(), ca.busy()); err != nil {
		return "", false, err
	}
	for url, o := range ca.Made {
		if o.Chain == nil && !o.Dead && !o.Closed && slices.Equal(o.names, names) {
			return url, false, nil // equal names return the open order
		}
	}
	var free ledger.Exemption
	if ca.sets[SetOf(names)] {
		free = ledger.ExemptRenewal
	}
	old := ca.ByARI[replaces]
	replaced := old != nil && !old.replaced
	if replaced && !ca.Now().Before(old.Start) && ca.Now().Before(old.End) {
		free = ledger.ExemptARI
	}
	for _, n := range names {
		if b := ca.bucket("failed "+n, ca.Limits.FailedValidations); b.left < 1 {
			return "", false, ca.refuse("too many failed authorizations for "+n, ca.Limits.FailedValidations, b)
		}
	}
	uses := ca.uses(names, free)
	for key, l := range uses {
		if b := ca.bucket(key, l); b.left < 1-1e-6 {
			return "", false, ca.refuse("too many certificates or orders: "+key, l, b)
		}
	}
	if l, ok := uses["orders"]; ok {
		ca.bucket("orders", l).left-- // issue draws from the others
	}
	if replaced {
		old.replaced = true
		ca.Counts.Replaced++
	}
	if free == ledger.ExemptARI {
		ca.Counts.InWindow++
	}
	ca.Counts.Orders++
	url := fmt.Sprintf("https://ca.example/order/%d", ca.Counts.Orders)
	ca.Made[url] = &simOrder{names: names, exempt: free}
	return url, replaced, nil
}

// refuse counts rejections that a correct client never causes.
func (ca *SimCA) refuse(text string, l spec.Limit, b *tokens) error {
	ca.Counts.Refused++
	return &CaError{Code: "rate_limited", Text: text, At: ca.Now().Add(time.Duration((1 - b.left) * float64(l.Refill())))}
}

// Finish implements attempt.CA.
func (ca *SimCA) Finish(ctx context.Context, _ *spec.Issuer, url string, csr []byte, accounts []*spec.DNSAccount, _ func(string, string)) ([]byte, string, []error, error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if err := errors.Join(ctx.Err(), ca.Away()); err != nil {
		return nil, "", nil, err
	}
	o := ca.Made[url]
	if o == nil || o.Dead {
		return nil, "", nil, &CaError{Code: "ca_rejected", Gone: true, Text: "no such order"}
	}
	account, passed, err := ca.prove(o, accounts)
	if err != nil {
		ca.Counts.Failed++
		return nil, "", passed, err
	}
	if o.Chain == nil {
		req, err := x509.ParseCertificateRequest(csr)
		if err != nil {
			return nil, "", passed, err
		}
		o.Chain = ca.Sign(req.DNSNames, req.PublicKey)
		chain, err := keypair.ParseChain(o.Chain)
		if err != nil {
			return nil, "", passed, err
		}
		ca.issue(o)
		ca.sets[SetOf(o.names)] = true
		leaf := chain[0]
		ca.ByARI[plan.AriID(leaf)] = windowOf(leaf)
	}
	chain := o.Chain
	return chain, account, passed, nil
}

// issue draws from the limits on certificates. It may draw more than there is, because
// the CA admitted concurrent orders.
func (ca *SimCA) issue(o *simOrder) {
	ca.Counts.Issued++
	for key, l := range ca.uses(o.names, o.exempt) {
		if key == "orders" {
			continue
		}
		b := ca.bucket(key, l)
		if b.left < 1-1e-6 {
			ca.Counts.Refused++
		}
		b.left--
	}
}

// windowOf returns Let's Encrypt's renewal window: two per cent of the lifetime, around
// two thirds of it or around half of a short one.
func windowOf(leaf *x509.Certificate) *simCert {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	middle := leaf.NotBefore.Add(life * 2 / 3)
	if life < 10*times.Day {
		middle = leaf.NotBefore.Add(life / 2)
	}
	return &simCert{Start: middle.Add(-life / 100), End: middle.Add(life / 100)}
}

// prove returns the first account that works, for names that can be validated.
func (ca *SimCA) prove(o *simOrder, accounts []*spec.DNSAccount) (account string, passed []error, err error) {
	for _, n := range o.names {
		if ca.Faults.Active("name." + n) {
			o.Dead = true
			ca.bucket("failed "+n, ca.Limits.FailedValidations).left--
			return "", nil, &CaError{Code: "validation", Gone: true, Text: "no TXT record found at _acme-challenge." + n, OfNames: []string{n}}
		}
	}
	for _, a := range accounts {
		if !ca.Faults.Active("dns." + a.Name) {
			return a.Name, passed, nil
		}
		passed = append(passed, &CaError{Code: "dns_unauthorized", OfAccount: a.Name, Text: "403 the token is not valid"})
	}
	return "", passed[:len(passed)-1], passed[len(passed)-1]
}

// RenewalInfo implements attempt.CA.
func (ca *SimCA) RenewalInfo(_ context.Context, _ *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if ca.Again == 0 {
		return start, end, "", again, errors.ErrUnsupported
	}
	ca.Counts.Asked++
	if err := ca.Away(); err != nil {
		return start, end, "", again, err
	}
	c := ca.ByARI[certID]
	if c == nil {
		return start, end, "", again, &CaError{Code: "ca_rejected", Text: "404"}
	}
	return c.Start, c.End, "", ca.asker().Truncate(ca.Again).Add(ca.Again), nil
}

// simVault is a Vault that is sealed at times. It records when live certificates were
// replaced.
type simVault struct {
	*MemVault
	now    func() time.Time
	Until  map[string]time.Time // expiry of the live certificate, by path
	spare  []time.Duration      // remaining lifetimes at replacement
	Doubly int                  // replacements within an hour of the issue
	at     map[string]time.Time
	Wrote  func(path string, was, now keypair.Pair) // called with each change; was is empty for the first one; may be nil
	Pairs  map[string]keypair.Pair
}

// Write implements pending.SecretWriter, and records replaced certificates.
func (v *simVault) Write(ctx context.Context, mount, path string, data map[string]string, cas int) (int, error) {
	n, err := v.MemVault.Write(ctx, mount, path, data, cas)
	if err != nil || !strings.HasPrefix(path, "tls/") {
		return n, err
	}
	p, err := keypair.FindIn(data)
	if err != nil {
		return n, err
	}
	v.Mu.Lock()
	defer v.Mu.Unlock()
	if was, ok := v.Until[path]; ok {
		v.spare = append(v.spare, was.Sub(v.now()))
		if v.now().Sub(v.at[path]) < time.Hour {
			v.Doubly++
		}
	}
	if v.Wrote != nil {
		v.Wrote(path, v.Pairs[path], p)
	}
	v.Until[path], v.at[path], v.Pairs[path] = p.Ends(), v.now(), p
	// Like a mount with max_versions: old versions are gone.
	versions := v.Secrets[mount+"/"+path].Versions
	for i := range len(versions) - 2 {
		versions[i].Data = nil
	}
	return n, nil
}

// simLedger is a Git that fails at times.
type simLedger struct {
	*MemLedger
	faults *faults
}

var errGit = &CaError{Code: "git", Text: "connection refused"}

// Snapshot implements ledger.Ledger.
func (l *simLedger) Snapshot(ctx context.Context) (fs.FS, string, error) {
	if l.faults.Active("git") {
		return nil, "", errGit
	}
	tree, head, err := l.MemLedger.Snapshot(ctx)
	return simTree{tree.(fstest.MapFS)}, head, err
}

// simTree is a tree that copies nothing.
type simTree struct{ fstest.MapFS }

func (t simTree) ReadFile(name string) ([]byte, error) {
	if f := t.MapFS[name]; f != nil {
		return slices.Clip(f.Data), nil
	}
	return nil, fs.ErrNotExist
}

// Commit implements ledger.Ledger.
func (l *simLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	if l.faults.Active("git") {
		return "", errGit
	}
	return l.MemLedger.Commit(ctx, message, func(tree fs.FS) (map[string][]byte, error) { return edit(simTree{tree.(fstest.MapFS)}) })
}

// simCredentials have another version after each fix of a fault.
type simCredentials struct{ faults *faults }

func (c simCredentials) Version(_ context.Context, v spec.Value) (string, error) {
	return fmt.Sprint("v", c.faults.Past(v.Name)), nil
}

// Sim is one simulated run.
type Sim struct {
	*World
	Faults  *faults
	Ca      *SimCA
	Vault   *simVault
	Rng     *rand.Rand
	Began   time.Time
	Port    attempt.CA    // the reconciler's CA: ca, or a wrapper around it
	Pulls   time.Duration // interval between pulls
	ahead   atomic.Int64  // nanoseconds by which the reconciler's clock is fast
	moments MemMoments
	passes  int
	Stop    func()
}

// NewSim returns a world in a bubble.
func NewSim(t testing.TB, seed int64, lifetime, again time.Duration, certificates ...*spec.Certificate) *Sim {
	s := &Sim{World: NewWorld(t, certificates...), Rng: rand.New(rand.NewSource(seed)), Began: time.Now(), moments: MemMoments{}}
	s.Faults = &faults{List: map[string][]Fault{}, now: time.Now}
	s.Ca = newSimCA(t, s.Faults, lifetime, again)
	s.Port, s.Pulls = s.Ca, 12*time.Hour
	s.Vault = &simVault{MemVault: s.World.Vault, now: time.Now, Until: map[string]time.Time{}, at: map[string]time.Time{}, Pairs: map[string]keypair.Pair{}}
	s.Vault.Fail = func(string, string) error {
		if s.Faults.Active("vault") {
			return &CaError{Code: "vault", Text: "503 Vault is sealed"}
		}
		return nil
	}
	s.Desired.Issuers["ca"].Limits = LetsEncrypt()
	s.Desired.DNS["lab"].Credentials = map[string]spec.Value{"TOKEN": {Source: spec.FromEnv, Name: "dns.lab"}}
	s.Opts = attempt.Options{Now: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }, Moments: s.moments}
	s.Ca.asker = s.Opts.Now
	return s
}

// Start runs a new process on the same world.
func (s *Sim) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r := s.Reconciler()
	loop := reconcile.NewLoop(r, &MemRepo{Desired: s.Desired}, reconcile.LoopOptions{Interval: s.Pulls, Passed: func(reconcile.Pass) { s.passes++ }})
	go func() { defer close(done); loop.Run(ctx) }()
	s.Stop = func() { cancel(); <-done }
}

// Reconciler returns a new process on the same world.
func (s *Sim) Reconciler() *apply.Reconciler {
	observer := &observe.Observer{Metadata: s.Vault, Versions: simCredentials{s.Faults}, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}
	return apply.New(observer, s.Vault, s.Port, &simLedger{s.Ledger, s.Faults}, s.Journal, s.Opts)
}

// Until sleeps to an age of the world.
func (s *Sim) Until(age time.Duration) { time.Sleep(time.Until(s.Began.Add(age))) }

// Totals is the result of a run.
type Totals struct {
	Renewals, Failures, Denied int
	Least                      time.Duration
	PerRenewal                 float64
}

// Sum returns the result of the run.
func (s *Sim) Sum() Totals {
	var r Totals
	for _, e := range s.Ledger.Events(s.T) {
		switch {
		case e.Status == ledger.Success && e.Operation.Orders():
			r.Renewals++
		case e.Status == ledger.Failed && e.Operation.Orders():
			r.Failures++
		case e.Status == ledger.Denied:
			r.Denied++
		}
	}
	r.Least = 1000 * times.Day
	for _, left := range s.Vault.spare {
		r.Least = min(r.Least, left)
	}
	for _, until := range s.Vault.Until {
		r.Least = min(r.Least, time.Until(until))
	}
	r.PerRenewal = float64(s.Ca.Counts.Orders) / float64(max(r.Renewals, 1))
	return r
}

// Log writes the result to the test's log.
func (s *Sim) Log(t *testing.T, r Totals) {
	t.Helper()
	c := s.Ca.Counts
	t.Logf("%d certificates, %s of lifetime, %d days: %d issued (%d sent inside ARI's window, %d with replaces), %d failures, %d refusals for a limit, %.1f days left at the least, %.3f orders per renewal, %d passes, %d commits",
		len(s.Desired.Certificates), s.Ca.Lifetime, int(time.Since(s.Began)/times.Day), r.Renewals, c.InWindow, c.Replaced, r.Failures, c.Refused, r.Least.Hours()/24, r.PerRenewal, s.passes, len(s.Ledger.Messages))
}
