package reconcile

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

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// A simulated world: a CA with Let's Encrypt's limits and renewal information,
// DNS accounts, a Vault and a Git that are away at times, all of it by the
// bubble's clock. Everything is drawn from a seed.

// fault is something that does not work for a while.
type fault struct {
	what     string // "ca", "git", "vault", "dns.NAME", "name.NAME"
	from, to time.Time
}

// faults are those of a run.
type faults struct {
	mu   sync.Mutex
	list map[string][]fault
	now  func() time.Time
}

func (f *faults) add(what string, from time.Time, lasts time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list[what] = append(f.list[what], fault{what, from, from.Add(lasts)})
}

// active tells whether it does not work now, and which fault in a row it is.
func (f *faults) active(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	return slices.ContainsFunc(f.list[what], func(f fault) bool { return !now.Before(f.from) && now.Before(f.to) })
}

// until is when what does not work now does again; zero where it works.
func (f *faults) until(what string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, f2 := range f.list[what] {
		if now := f.now(); !now.Before(f2.from) && now.Before(f2.to) {
			return f2.to
		}
	}
	return time.Time{}
}

// past counts the faults that are over: each was mended by a new credential.
func (f *faults) past(what string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, f2 := range f.list[what] {
		if !f.now().Before(f2.to) {
			n++
		}
	}
	return n
}

// tokens is a CA's own token bucket, counted and not reckoned as bucket is.
type tokens struct {
	left float64
	at   time.Time
}

// simCA is a CA as Let's Encrypt is one.
type simCA struct {
	*memCA
	faults *faults
	limits *spec.Limits
	asker  func() time.Time // the clock of who asks, by which Retry-After is reckoned
	again  time.Duration    // between two questions for renewal information, on a grid; 0: it offers none
	spent  map[string]*tokens
	made   map[string]*simOrder
	sets   map[string]bool     // sets of names that were issued for
	byARI  map[string]*simCert // by ARI identifier
	counts struct{ orders, issued, refused, inWindow, replaced, asked, failed int }
}

type simOrder struct {
	names  []string
	exempt ledger.Exemption
	chain  []byte
	dead   bool
	closed bool // it is not handed out again, though nothing was issued
}

type simCert struct {
	start, end time.Time // its window
	replaced   bool
}

func newSimCA(t testing.TB, f *faults, lifetime, again time.Duration) *simCA {
	ca := &simCA{memCA: newMemCA(t, f.now), faults: f, limits: letsEncrypt(), again: again,
		spent: map[string]*tokens{}, made: map[string]*simOrder{}, sets: map[string]bool{}, byARI: map[string]*simCert{}}
	ca.lifetime = lifetime
	return ca
}

// bucket fills up a bucket for now.
func (ca *simCA) bucket(key string, l spec.Limit) *tokens {
	b := ca.spent[key]
	if b == nil {
		b = &tokens{left: float64(l.Burst), at: ca.now()}
		ca.spent[key] = b
	}
	b.left = min(float64(l.Burst), b.left+ca.now().Sub(b.at).Seconds()/l.Refill().Seconds())
	b.at = ca.now()
	return b
}

// uses are the buckets that an order draws from, by the CA's own rules.
func (ca *simCA) uses(names []string, free ledger.Exemption) map[string]spec.Limit {
	m := map[string]spec.Limit{}
	if free == "" {
		m["orders"] = ca.limits.Orders
		for _, d := range ledger.Registered(names) {
			m["domain "+d] = ca.limits.PerDomain
		}
	}
	if free != ledger.ExemptARI {
		m["set "+setOf(names)] = ca.limits.ExactSet
	}
	return m
}

func setOf(names []string) string { return strings.Join(slices.Sorted(slices.Values(names)), " ") }

func (ca *simCA) away() error {
	if ca.faults.active("ca") {
		return &caError{class: "ca_unavailable", text: "503 Service Unavailable"}
	}
	return nil
}

// busy is a CA that takes no orders for reasons of its own, and says until when.
func (ca *simCA) busy() error {
	if until := ca.faults.until("limit"); !until.IsZero() {
		return &caError{class: "rate_limited", text: "429 Service busy; retry later", at: until}
	}
	return nil
}

func (ca *simCA) Order(_ context.Context, _ *spec.Issuer, names []string, replaces string) (string, bool, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.order(names, replaces)
}

func (ca *simCA) order(names []string, replaces string) (string, bool, error) {
	if err := errors.Join(ca.away(), ca.busy()); err != nil {
		return "", false, err
	}
	for url, o := range ca.made {
		if o.chain == nil && !o.dead && !o.closed && slices.Equal(o.names, names) {
			return url, false, nil // equal names give back the order that is open
		}
	}
	var free ledger.Exemption
	if ca.sets[setOf(names)] {
		free = ledger.ExemptRenewal
	}
	old := ca.byARI[replaces]
	replaced := old != nil && !old.replaced
	if replaced && !ca.now().Before(old.start) && ca.now().Before(old.end) {
		free = ledger.ExemptARI
	}
	for _, n := range names {
		if b := ca.bucket("failed "+n, ca.limits.FailedValidations); b.left < 1 {
			return "", false, ca.refuse("too many failed authorizations for "+n, ca.limits.FailedValidations, b)
		}
	}
	uses := ca.uses(names, free)
	for key, l := range uses {
		if b := ca.bucket(key, l); b.left < 1-1e-6 {
			return "", false, ca.refuse("too many certificates or orders: "+key, l, b)
		}
	}
	if l, ok := uses["orders"]; ok {
		ca.bucket("orders", l).left-- // the others are drawn from by what is issued
	}
	if replaced {
		old.replaced = true
		ca.counts.replaced++
	}
	if free == ledger.ExemptARI {
		ca.counts.inWindow++
	}
	ca.counts.orders++
	url := fmt.Sprintf("https://ca.example/order/%d", ca.counts.orders)
	ca.made[url] = &simOrder{names: names, exempt: free}
	return url, replaced, nil
}

// refuse counts what should never happen.
func (ca *simCA) refuse(text string, l spec.Limit, b *tokens) error {
	ca.counts.refused++
	return &caError{class: "rate_limited", text: text, at: ca.now().Add(time.Duration((1 - b.left) * float64(l.Refill())))}
}

func (ca *simCA) Finish(ctx context.Context, _ *spec.Issuer, url string, csr []byte, accounts []*spec.DNSAccount, _ func(string, string)) ([]byte, string, []error, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := errors.Join(ctx.Err(), ca.away()); err != nil {
		return nil, "", nil, err
	}
	o := ca.made[url]
	if o == nil || o.dead {
		return nil, "", nil, &caError{class: "ca_rejected", gone: true, text: "no such order"}
	}
	account, passed, err := ca.prove(o, accounts)
	if err != nil {
		ca.counts.failed++
		return nil, "", passed, err
	}
	if o.chain == nil {
		req, err := x509.ParseCertificateRequest(csr)
		if err != nil {
			return nil, "", passed, err
		}
		o.chain = ca.sign(req.DNSNames, req.PublicKey)
		chain, err := keypair.ParseChain(o.chain)
		if err != nil {
			return nil, "", passed, err
		}
		ca.issue(o)
		ca.sets[setOf(o.names)] = true
		leaf := chain[0]
		ca.byARI[plan.AriID(leaf)] = windowOf(leaf)
	}
	chain := o.chain
	return chain, account, passed, nil
}

// issue draws from the limits on certificates. That more is drawn than there
// is happens where orders were made side by side that the CA let pass.
func (ca *simCA) issue(o *simOrder) {
	ca.counts.issued++
	for key, l := range ca.uses(o.names, o.exempt) {
		if key == "orders" {
			continue
		}
		b := ca.bucket(key, l)
		if b.left < 1-1e-6 {
			ca.counts.refused++
		}
		b.left--
	}
}

// windowOf is Let's Encrypt's: two per cent of the lifetime around two thirds
// of it, or around the half of a short one.
func windowOf(leaf *x509.Certificate) *simCert {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	middle := leaf.NotBefore.Add(life * 2 / 3)
	if life < 10*times.Day {
		middle = leaf.NotBefore.Add(life / 2)
	}
	return &simCert{start: middle.Add(-life / 100), end: middle.Add(life / 100)}
}

// prove is the first account that works, for names that can be proved.
func (ca *simCA) prove(o *simOrder, accounts []*spec.DNSAccount) (account string, passed []error, err error) {
	for _, n := range o.names {
		if ca.faults.active("name." + n) {
			o.dead = true
			ca.bucket("failed "+n, ca.limits.FailedValidations).left--
			return "", nil, &caError{class: "validation", gone: true, text: "no TXT record found at _acme-challenge." + n, names: []string{n}}
		}
	}
	for _, a := range accounts {
		if !ca.faults.active("dns." + a.Name) {
			return a.Name, passed, nil
		}
		passed = append(passed, &caError{class: "dns_unauthorized", account: a.Name, text: "403 the token is not valid"})
	}
	return "", passed[:len(passed)-1], passed[len(passed)-1]
}

func (ca *simCA) RenewalInfo(_ context.Context, _ *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.again == 0 {
		return start, end, "", again, errors.ErrUnsupported
	}
	ca.counts.asked++
	if err := ca.away(); err != nil {
		return start, end, "", again, err
	}
	c := ca.byARI[certID]
	if c == nil {
		return start, end, "", again, &caError{class: "ca_rejected", text: "404"}
	}
	return c.start, c.end, "", ca.asker().Truncate(ca.again).Add(ca.again), nil
}

// simVault is a Vault that is sealed at times, and knows when what was live
// gave way.
type simVault struct {
	*memVault
	now    func() time.Time
	until  map[string]time.Time // when what is live expires, by path
	spare  []time.Duration      // that was left of it when it gave way
	doubly int                  // that gave way within an hour of its issue
	at     map[string]time.Time
	wrote  func(path string, was, now keypair.Pair) // is told of each change; was is empty for the first one; nil: nobody
	pairs  map[string]keypair.Pair
}

func (v *simVault) Write(ctx context.Context, mount, path string, data map[string]string, cas int) (int, error) {
	n, err := v.memVault.Write(ctx, mount, path, data, cas)
	if err != nil || !strings.HasPrefix(path, "tls/") {
		return n, err
	}
	p, err := keypair.FindIn(data)
	if err != nil {
		return n, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if was, ok := v.until[path]; ok {
		v.spare = append(v.spare, was.Sub(v.now()))
		if v.now().Sub(v.at[path]) < time.Hour {
			v.doubly++
		}
	}
	if v.wrote != nil {
		v.wrote(path, v.pairs[path], p)
	}
	v.until[path], v.at[path], v.pairs[path] = p.Ends(), v.now(), p
	// As a mount with max_versions does: what is long gone is not kept.
	versions := v.secrets[mount+"/"+path].versions
	for i := range len(versions) - 2 {
		versions[i].data = nil
	}
	return n, nil
}

// simLedger is a Git that is away at times.
type simLedger struct {
	*memLedger
	faults *faults
}

var errGit = &caError{class: "git", text: "connection refused"}

func (l *simLedger) Snapshot(ctx context.Context) (fs.FS, string, error) {
	if l.faults.active("git") {
		return nil, "", errGit
	}
	tree, head, err := l.memLedger.Snapshot(ctx)
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

func (l *simLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	if l.faults.active("git") {
		return "", errGit
	}
	return l.memLedger.Commit(ctx, message, func(tree fs.FS) (map[string][]byte, error) { return edit(simTree{tree.(fstest.MapFS)}) })
}

// simCredentials have another version whenever one was mended.
type simCredentials struct{ faults *faults }

func (c simCredentials) Version(_ context.Context, v spec.Value) (string, error) {
	return fmt.Sprint("v", c.faults.past(v.Name)), nil
}

// sim is one simulated run.
type sim struct {
	*world
	faults  *faults
	ca      *simCA
	vault   *simVault
	rng     *rand.Rand
	began   time.Time
	port    attempt.CA    // what the reconciler asks; ca, or what stands before it
	pulls   time.Duration // between two pulls
	ahead   atomic.Int64  // nanoseconds, of the reconciler's clock
	moments memMoments
	passes  int
	stop    func()
}

// newSim makes a world in a bubble.
func newSim(t testing.TB, seed int64, lifetime, again time.Duration, certificates ...*spec.Certificate) *sim {
	s := &sim{world: newWorld(t, certificates...), rng: rand.New(rand.NewSource(seed)), began: time.Now(), moments: memMoments{}}
	s.faults = &faults{list: map[string][]fault{}, now: time.Now}
	s.ca = newSimCA(t, s.faults, lifetime, again)
	s.port, s.pulls = s.ca, 12*time.Hour
	s.vault = &simVault{memVault: s.world.vault, now: time.Now, until: map[string]time.Time{}, at: map[string]time.Time{}, pairs: map[string]keypair.Pair{}}
	s.vault.fail = func(string, string) error {
		if s.faults.active("vault") {
			return &caError{class: "vault", text: "503 Vault is sealed"}
		}
		return nil
	}
	s.desired.Issuers["ca"].Limits = letsEncrypt()
	s.desired.DNS["lab"].Credentials = map[string]spec.Value{"TOKEN": {Source: spec.FromEnv, Name: "dns.lab"}}
	s.opts = attempt.Options{Now: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }, Moments: s.moments}
	s.ca.asker = s.opts.Now
	return s
}

// start runs a reconciler: a new process on the same world.
func (s *sim) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r := s.reconciler()
	loop := NewLoop(r, &memRepo{desired: s.desired}, LoopOptions{Interval: s.pulls, Passed: func(Pass) { s.passes++ }})
	go func() { defer close(done); loop.Run(ctx) }()
	s.stop = func() { cancel(); <-done }
}

// reconciler is a new process on the same world.
func (s *sim) reconciler() *apply.Reconciler {
	observer := &observe.Observer{Metadata: s.vault, Versions: simCredentials{s.faults}, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}
	return apply.New(observer, s.vault, s.port, &simLedger{s.ledger, s.faults}, s.journal, s.opts)
}

// until sleeps to an age of the world.
func (s *sim) until(age time.Duration) { time.Sleep(time.Until(s.began.Add(age))) }

// sum is what came of it.
type sum struct {
	renewals, failures, denied int
	least                      time.Duration
	perRenewal                 float64
}

func (s *sim) sum() sum {
	var r sum
	for _, e := range s.ledger.events(s.t) {
		switch {
		case e.Status == ledger.Success && e.Operation.Orders():
			r.renewals++
		case e.Status == ledger.Failed && e.Operation.Orders():
			r.failures++
		case e.Status == ledger.Denied:
			r.denied++
		}
	}
	r.least = 1000 * times.Day
	for _, left := range s.vault.spare {
		r.least = min(r.least, left)
	}
	for _, until := range s.vault.until {
		r.least = min(r.least, time.Until(until))
	}
	r.perRenewal = float64(s.ca.counts.orders) / float64(max(r.renewals, 1))
	return r
}

func (s *sim) log(t *testing.T, r sum) {
	t.Helper()
	c := s.ca.counts
	t.Logf("%d certificates, %s of lifetime, %d days: %d issued (%d sent inside ARI's window, %d with replaces), %d failures, %d refusals for a limit, %.1f days left at the least, %.3f orders per renewal, %d passes, %d commits",
		len(s.desired.Certificates), s.ca.lifetime, int(time.Since(s.began)/times.Day), r.renewals, c.inWindow, c.replaced, r.failures, c.refused, r.least.Hours()/24, r.perRenewal, s.passes, len(s.ledger.messages))
}
