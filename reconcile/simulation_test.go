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
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

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
	last   map[string]*x509.Certificate
	counts struct{ orders, issued, refused, inWindow, replaced, asked, failed int }
}

type simOrder struct {
	names  []string
	exempt Exemption
	chain  []byte
	dead   bool
}

type simCert struct {
	start, end time.Time // its window
	replaced   bool
}

func newSimCA(t testing.TB, f *faults, lifetime, again time.Duration) *simCA {
	ca := &simCA{memCA: newMemCA(t, f.now), faults: f, limits: letsEncrypt(), again: again,
		spent: map[string]*tokens{}, made: map[string]*simOrder{}, sets: map[string]bool{}, byARI: map[string]*simCert{}, last: map[string]*x509.Certificate{}}
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
func (ca *simCA) uses(names []string, free Exemption) map[string]spec.Limit {
	m := map[string]spec.Limit{}
	if free == "" {
		m["orders"] = ca.limits.Orders
		for _, d := range registered(names) {
			m["domain "+d] = ca.limits.PerDomain
		}
	}
	if free != ExemptARI {
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
	if err := errors.Join(ca.away(), ca.busy()); err != nil {
		return "", false, err
	}
	for url, o := range ca.made {
		if o.chain == nil && !o.dead && slices.Equal(o.names, names) {
			return url, false, nil // equal names give back the order that is open
		}
	}
	var free Exemption
	if ca.sets[setOf(names)] {
		free = ExemptRenewal
	}
	old := ca.byARI[replaces]
	replaced := old != nil && !old.replaced
	if replaced && !ca.now().Before(old.start) && ca.now().Before(old.end) {
		free = ExemptARI
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
	if free == ExemptARI {
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
		chain, err := parseChain(o.chain)
		if err != nil {
			return nil, "", passed, err
		}
		ca.issue(o)
		ca.sets[setOf(o.names)] = true
		leaf := chain[0]
		ca.byARI[ariID(leaf)] = windowOf(leaf)
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
	if life < 10*day {
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
}

func (v *simVault) Write(ctx context.Context, mount, path string, data map[string]string, cas int) (int, error) {
	n, err := v.memVault.Write(ctx, mount, path, data, cas)
	if err != nil || !strings.HasPrefix(path, "tls/") {
		return n, err
	}
	p, err := findPair(data)
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
	v.until[path], v.at[path] = p.leaf().NotAfter, v.now()
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
	ahead   time.Duration // of the reconciler's clock
	moments memMoments
	passes  int
	stop    func()
}

// newSim makes a world in a bubble.
func newSim(t testing.TB, seed int64, lifetime, again time.Duration, certificates ...*spec.Certificate) *sim {
	s := &sim{world: newWorld(t, certificates...), rng: rand.New(rand.NewSource(seed)), began: time.Now(), moments: memMoments{}}
	s.faults = &faults{list: map[string][]fault{}, now: time.Now}
	s.ca = newSimCA(t, s.faults, lifetime, again)
	s.vault = &simVault{memVault: s.world.vault, now: time.Now, until: map[string]time.Time{}, at: map[string]time.Time{}}
	s.vault.fail = func(string, string) error {
		if s.faults.active("vault") {
			return &caError{class: "vault", text: "503 Vault is sealed"}
		}
		return nil
	}
	s.desired.Issuers["ca"].Limits = letsEncrypt()
	s.desired.DNS["lab"].Credentials = map[string]spec.Value{"TOKEN": {Source: spec.FromEnv, Name: "dns.lab"}}
	s.opts = Options{Now: func() time.Time { return time.Now().Add(s.ahead) }, Moments: s.moments}
	s.ca.asker = s.opts.Now
	return s
}

// start runs a reconciler: a new process on the same world.
func (s *sim) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	observer := &Observer{Metadata: s.vault, Versions: simCredentials{s.faults}, StateMount: "secret", StatePrefix: "certroll"}
	r := New(observer, s.vault, s.ca, &simLedger{s.ledger, s.faults}, s.journal, s.opts)
	loop := NewLoop(r, &memRepo{desired: s.desired}, LoopOptions{Interval: 12 * time.Hour, Passed: func(Pass) { s.passes++ }})
	go func() { defer close(done); loop.Run(ctx) }()
	s.stop = func() { cancel(); <-done }
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
		case e.Status == Success && e.Operation.Orders():
			r.renewals++
		case e.Status == Failed && e.Operation.Orders():
			r.failures++
		case e.Status == Denied:
			r.denied++
		}
	}
	r.least = 1000 * day
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
		len(s.desired.Certificates), s.ca.lifetime, int(time.Since(s.began)/day), r.renewals, c.inWindow, c.replaced, r.failures, c.refused, r.least.Hours()/24, r.perRenewal, s.passes, len(s.ledger.messages))
}

// TestYearOfShortLives: certificates of 45 days and of 160 hours through a
// year with nothing wrong. Each is renewed inside its window, none doubly.
func TestYearOfShortLives(t *testing.T) {
	for name, tc := range map[string]struct {
		lifetime time.Duration
		again    time.Duration
		each     int // orders of one certificate in a year, at the least and
		most     int
	}{
		"45 days":   {45 * day, 6 * time.Hour, 12, 14},
		"160 hours": {160 * time.Hour, 6 * time.Hour, 108, 112},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 5
				cs := crowd(n, "example.com")
				s := newSim(t, 1, tc.lifetime, tc.again, cs...)
				s.start()
				s.until(365 * day)
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
// bad year. None expires, as no failure lasts as long as the thirty days there
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
			if testing.Short() || raceDetector {
				n = min(n, 60)
			}
			synctest.Test(t, func(t *testing.T) { yearOfFailures(t, n, tc.again) })
		})
	}
}

func yearOfFailures(t *testing.T, n int, again time.Duration) {
	s := newSim(t, 20261125, 90*day, again, portfolio(n)...)
	for _, name := range []string{"a", "b", "dr"} {
		s.desired.DNS[name] = &spec.DNSAccount{Name: name, Challenge: spec.DNS01, Credentials: map[string]spec.Value{"TOKEN": {Source: spec.FromEnv, Name: "dns." + name}}}
	}
	if n > 300 { // the account of whoever has so many has a higher limit
		s.desired.Issuers["ca"].Limits.Orders.Burst, s.ca.limits.Orders.Burst = n, n
	}
	s.ca.wrong = func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Truncate(time.Hour) } // what is due together costs one pass
	longest := s.badYear()
	s.start()
	s.live(365 * day)
	s.stop()
	r := s.sum()
	s.log(t, r)
	t.Logf("the longest failure lasts %.1f days; %d questions for renewal information", longest.Hours()/24, s.ca.counts.asked)
	if longest >= 30*day {
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
			s.faults.add(what, s.began.Add(between(5*day, 355*day)), between(least, most))
		}
	}
	several("ca", 12, 2*time.Hour, 3*day)
	several("limit", 6, time.Hour, day)
	several("vault", 8, time.Hour, 10*time.Hour)
	several("git", 4, time.Hour, 8*time.Hour)
	several("off", 1, 7*day, 7*day+1)
	for _, name := range []string{"lab", "a", "b", "dr"} {
		several("dns."+name, 3, day, 9*day)
	}
	for _, c := range s.desired.Certificates {
		if s.rng.Intn(8) == 0 {
			several("name."+c.Names()[0], 1, day, 12*day)
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
		if one.from.After(to.Add(day)) {
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
		switch old := time.Since(s.began) / day; {
		case old == 120 && s.ahead == 0:
			s.ahead = 3 * day
		case old == 121:
			s.ahead = 0
		}
	}
}

// TestCrashLoop: for an hour a process that starts every few seconds, and dies
// at any step, while the CA refuses. The back-off bounds what it is asked.
func TestCrashLoop(t *testing.T) {
	refusals := map[string]func(*sim){
		"the CA is down":            func(s *sim) { s.faults.add("ca", time.Now(), day) },
		"the DNS account refuses":   func(s *sim) { s.faults.add("dns.lab", time.Now(), day) },
		"the name cannot be proved": func(s *sim) { s.faults.add("name.caaa.example.com", time.Now(), day) },
		"nothing but the crashes":   func(*sim) {},
	}
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSim(t, 7, 90*day, 0, crowd(1, "example.com")...)
				s.opts.Patience = []time.Duration{}
				s.start()
				s.until(59 * day)
				s.stop()
				s.until(61 * day)
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
	dead := false
	step := func() error {
		if n--; n <= 0 {
			dead = true
			kill()
			return errors.New("killed")
		}
		return nil
	}
	sealed := s.vault.fail
	s.vault.fail = func(string, string) error { return step() }
	defer func() { s.vault.fail = sealed }()
	ca := &dyingCA{s.ca, step, asked}
	observer := &Observer{Metadata: s.vault, StateMount: "secret", StatePrefix: "certroll"}
	r := New(observer, s.vault, ca, &deadLedger{s.ledger, &dead}, &dyingJournal{s.journal, &dead}, s.opts)
	obs, err := r.Observe(ctx, s.desired)
	if err != nil {
		return
	}
	_, _ = r.Apply(ctx, s.desired, Revision{Commit: "c0ffee"}, Plan(s.desired, obs, s.opts.Now()))
}

type deadLedger struct {
	*memLedger
	dead *bool
}

func (l *deadLedger) Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	if *l.dead {
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
		s := newSim(t, 1, 90*day, 6*time.Hour, crowd(3, "example.com")...)
		s.start()
		s.until(59 * day)
		s.faults.add("vault", time.Now(), 4*day)
		asked, sealed := 0, s.vault.fail
		s.vault.fail = func(op, path string) error {
			asked++
			return sealed(op, path)
		}
		time.Sleep(2 * day)
		if asked > 2*24*60*3 {
			t.Errorf("a sealed Vault is asked %d times within two days", asked)
		}
		s.until(64 * day)
		s.stop()
		if r := s.sum(); r.renewals != 6 || r.least < 26*day {
			t.Errorf("%+v", r)
		}
	})
}
