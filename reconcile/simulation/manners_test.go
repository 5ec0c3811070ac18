package simulation_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	mathrand "math/rand"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"certroll/examples/lab/labtest"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/recorder"
	"certroll/reconcile/times"
	"certroll/spec"
)

// Misbehavior ("manners") of CAs, taken from bug reports of other clients. Each request
// for an order draws at most one, by its share. A manner that costs an order spoils
// that order: any client needs another one. The others must not cost an order.
const (
	mannerLost    = "the answer to newOrder is lost"
	mannerReuse   = "an open order is handed out again"
	mannerPolls   = "Retry-After of a day on polls, decided in minutes"
	mannerMinutes = "processing for minutes"
	mannerDays    = "processing for days"
	mannerRefused = "finalize answers 403, the order stays ready"
	mannerURL     = "the order's URL never answers"
	mannerBusy    = "finalize answers 503 for minutes"
	mannerKey     = "the key is blocked (badPublicKey)"
	mannerLimit   = "rate limited, with a time"
	mannerAway    = "the CA is away"
	mannerAccount = "the account is deactivated"
	mannerMixed   = "the chain is out of order, with a certificate twice"
	mannerShort   = "the intermediate ends first"
	mannerExpired = "the intermediate has expired"
	mannerListed  = "revoked, as the CRL says"
	mannerARI     = "revoked, as renewal information says"
)

var manners = []struct {
	name  string
	share int  // per thousand requests; 0: caused by another manner, or by the clock
	costs bool // costs an order, through the CA's fault
}{
	{mannerLost, 40, false},
	{mannerReuse, 0, false},
	{mannerPolls, 40, false},
	{mannerMinutes, 40, false},
	{mannerDays, 40, true},
	{mannerRefused, 40, true},
	{mannerURL, 40, true},
	{mannerBusy, 40, false},
	{mannerKey, 80, true}, // for kept keys only, where the order is lost with the key
	{mannerLimit, 40, false},
	{mannerAway, 40, false},
	{mannerAccount, 40, true}, // open orders are lost: another account may not finish them
	{mannerMixed, 40, false},
	{mannerShort, 40, false},
	{mannerExpired, 40, false},
	{mannerListed, 0, false},
	{mannerARI, 0, false},
}

// cardShare is the number of requests per thousand that one card of the deck
// represents.
const cardShare = 40

// costs reports whether a manner costs an order.
func costs(name string) bool {
	for _, m := range manners {
		if m.name == name {
			return m.costs
		}
	}
	return false
}

// mannerCA is a SimCA that misbehaves.
type mannerCA struct {
	*reconciletest.SimCA
	t         testing.TB
	rng       *mathrand.Rand
	lifetime  time.Duration
	good      *x509.Certificate // the longest-lived intermediate
	drawn     map[string]*draw  // by order URL
	seen      map[string]int    // number of occurrences
	deck      []string
	next      map[string]time.Time // earliest next time of a manner that affects all
	certified map[string]bool      // keys that have a certificate
	blocked   map[string]bool
	listed    map[string]x509.RevocationListEntry
	revoked   map[string]time.Time // by serial: revoked and not replaced yet
	calm      time.Time            // nothing is drawn after this time
	owed      bool                 // a key will be blocked, and its order replaced
}

// draw is the manner of one order.
type draw struct {
	manner  string
	names   string
	made    time.Time
	until   time.Time // when the manner ends
	seen    bool
	served  bool      // its certificate was served with an acceptable chain
	refused time.Time // when its certificate was first served with a chain that is rejected
	mid     *x509.Certificate
}

func newMannerCA(t testing.TB, s *reconciletest.Sim) *mannerCA {
	ca := &mannerCA{SimCA: s.Ca, t: t, rng: s.Rng, lifetime: s.Ca.Lifetime, drawn: map[string]*draw{}, seen: map[string]int{}, next: map[string]time.Time{},
		certified: map[string]bool{}, blocked: map[string]bool{}, listed: map[string]x509.RevocationListEntry{}, revoked: map[string]time.Time{}}
	ca.good = ca.SignBy(t, s.Began.Add(100*365*times.Day), false)
	ca.Account = ca.dead
	return ca
}

func (ca *mannerCA) span(least, most time.Duration) time.Duration {
	return least + time.Duration(ca.rng.Int63n(int64(most-least)))
}

// part returns a random part of the lifetime, so that short-lived certificates have
// short faults.
func (ca *mannerCA) part(least, most int) time.Duration {
	return ca.span(ca.lifetime/time.Duration(least), ca.lifetime/time.Duration(most))
}

// shuffle fills a deck of 25 cards, one per 40 of a thousand requests. The deck is
// drawn empty before the next shuffle, so that each manner occurs at its share.
func (ca *mannerCA) shuffle() {
	ca.deck = make([]string, 1000/cardShare)
	cards := ca.deck
	for _, m := range manners {
		for range m.share / cardShare {
			cards[0], cards = m.name, cards[1:]
		}
	}
	ca.rng.Shuffle(len(ca.deck), func(i, j int) { ca.deck[i], ca.deck[j] = ca.deck[j], ca.deck[i] })
}

// draws returns the manner of a request.
func (ca *mannerCA) draws() string {
	if !ca.Now().Before(ca.calm) {
		return ""
	}
	if len(ca.deck) == 0 {
		ca.shuffle()
	}
	m := ca.deck[0]
	ca.deck = ca.deck[1:]
	if m == mannerAway || m == mannerAccount { // faults that affect all leave a tenth of a lifetime between them
		if ca.Now().Before(ca.next[m]) {
			return ""
		}
		ca.next[m] = ca.Now().Add(ca.lifetime / 10)
	}
	return m
}

// dead returns the error of a rejected account until a person has acted.
func (ca *mannerCA) dead() error {
	if ca.Faults.Active("account") {
		return &reconciletest.CaError{Code: string(ledger.ClassCARejected), OwnedBy: string(ledger.OwnerAccount), Text: "401 unauthorized :: account is not active"}
	}
	return nil
}

func (ca *mannerCA) Order(ctx context.Context, i *spec.Issuer, names []string, replaces string) (string, bool, error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	m, err := ca.request(names)
	if err != nil {
		return "", false, err
	}
	url, replaced, err := ca.MakeOrder(names, replaces)
	if err != nil {
		return "", false, err
	}
	if ca.drawn[url] != nil {
		ca.seen[mannerReuse]++
		return url, replaced, nil
	}
	ca.drawn[url] = ca.has(m, names)
	ca.Made[url].Closed = slices.Contains([]string{mannerMinutes, mannerDays, mannerRefused, mannerURL}, m)
	if m == mannerLost {
		ca.seen[m]++
		return "", false, &reconciletest.CaError{Code: string(ledger.ClassCAUnavailable), Text: "connection reset by peer"}
	}
	return url, replaced, nil
}

// request returns the fate of a request before an order exists.
func (ca *mannerCA) request(names []string) (string, error) {
	m, now := ca.draws(), ca.Now()
	switch m {
	case mannerAway:
		ca.Faults.Add("ca", now, ca.part(720, 30))
	case mannerAccount:
		ca.Faults.Add("account", now, ca.part(720, 30))
		for url, d := range ca.drawn {
			if d.served {
				continue
			}
			if ca.Made[url].Chain != nil { // a rejected certificate: the next order follows a day later
				ca.Faults.Add("names "+d.names, d.refused, times.Day)
			}
			d.manner, d.seen, ca.Made[url].Dead = mannerAccount, true, true // already counted
		}
	case mannerLimit:
		lasts := ca.part(720, 90)
		ca.Faults.Add("names "+reconciletest.SetOf(names), now, lasts)
		ca.seen[m]++
		return "", &reconciletest.CaError{Code: string(ledger.ClassRateLimited), Text: "429 too many certificates", At: now.Add(lasts)}
	}
	if m == mannerAway || m == mannerAccount {
		ca.seen[m]++
	}
	if err := ca.Away(); err != nil {
		return "", err
	}
	return m, ca.dead()
}

// has returns the draw of an order with this manner, and for how long it excuses a
// failure. A manner that certroll itself must end excuses nothing.
func (ca *mannerCA) has(m string, names []string) *draw {
	d := &draw{manner: m, names: reconciletest.SetOf(names)}
	var lasts, excused time.Duration
	switch m {
	case mannerPolls:
		lasts = ca.span(time.Minute, 4*time.Minute)
	case mannerMinutes:
		lasts = ca.span(20*time.Minute, 90*time.Minute)
	case mannerDays:
		lasts, excused = ca.span(25*time.Hour, 80*time.Hour), times.Day // processing_timeout
	case mannerBusy:
		lasts = ca.span(time.Minute, 15*time.Minute)
	case mannerExpired:
		lasts = ca.part(180, 45)
		excused = lasts
	}
	d.made, d.until = ca.Now(), ca.Now().Add(lasts)
	if excused > 0 {
		ca.Faults.Add("names "+d.names, ca.Now(), excused)
	}
	return d
}

func (ca *mannerCA) Finish(ctx context.Context, i *spec.Issuer, url string, csr []byte, accounts []*spec.DNSAccount, report func(string, string)) ([]byte, string, []error, error) {
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, "", nil, err
	}
	if wait := ca.pollsFor(url); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, "", nil, ctx.Err()
		}
	}
	if err := ca.spoils(url, string(req.RawSubjectPublicKeyInfo)); err != nil {
		return nil, "", nil, err
	}
	chain, account, passed, err := ca.SimCA.Finish(ctx, i, url, csr, accounts, report)
	if err != nil {
		return nil, "", passed, err
	}
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	ca.certified[string(req.RawSubjectPublicKeyInfo)] = true
	return ca.arranged(ca.drawn[url], chain), account, passed, nil
}

// pollsFor returns how long a client polls, at its own interval, before the CA has
// decided or the deadline of 15 minutes has passed.
func (ca *mannerCA) pollsFor(url string) time.Duration {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	d := ca.drawn[url]
	if d == nil || ca.Away() != nil || !slices.Contains([]string{mannerPolls, mannerMinutes, mannerDays}, d.manner) {
		return 0
	}
	ca.notes(d)
	return min(max(0, d.until.Sub(ca.Now())), 15*time.Minute)
}

// notes counts a manner once per order.
func (ca *mannerCA) notes(d *draw) {
	if !d.seen {
		d.seen = true
		ca.seen[d.manner]++
	}
}

// spoils returns why an order cannot be finished.
func (ca *mannerCA) spoils(url, key string) error {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if err := errors.Join(ca.Away(), ca.dead()); err != nil {
		return err
	}
	d := ca.drawn[url]
	if d == nil {
		return nil
	}
	if err := ca.fails(d); err != nil {
		ca.notes(d)
		return err
	}
	if d.manner == mannerKey && !d.seen && !ca.certified[key] {
		d.manner, ca.owed = "", true
	}
	if ca.owed && d.manner == "" && ca.certified[key] && ca.Now().Before(ca.calm) {
		d.manner, ca.owed = mannerKey, false
	}
	if d.manner == mannerKey && !d.seen {
		ca.notes(d)
		ca.blocked[key] = true
		ca.Made[url].Dead = ca.rng.Intn(2) == 0
	}
	if ca.blocked[key] {
		return &reconciletest.CaError{Code: string(ledger.ClassCARejected), KeyRefused: true, Text: "400 badPublicKey :: public key is forbidden"}
	}
	return nil
}

// fails returns the current error of an order with its manner.
func (ca *mannerCA) fails(d *draw) error {
	left := ca.Now().Before(d.until)
	switch d.manner {
	case mannerMinutes, mannerDays:
		if left {
			return &reconciletest.CaError{Code: string(ledger.ClassCAUnavailable), Working: true, Text: "has not issued the certificate", At: ca.Now().Add(time.Hour)}
		}
	case mannerBusy:
		if left {
			return &reconciletest.CaError{Code: string(ledger.ClassCAUnavailable), Text: "503 Service busy"}
		}
	case mannerAccount:
		return &reconciletest.CaError{Code: string(ledger.ClassCARejected), Gone: true, Text: "403 unauthorized :: the order is another account's"}
	case mannerRefused:
		return &reconciletest.CaError{Code: string(ledger.ClassCARejected), Text: "403 unauthorized :: authorizations not found or expired"}
	case mannerURL:
		return &reconciletest.CaError{Code: string(ledger.ClassCAUnavailable), Text: "connection refused"}
	}
	return nil
}

// arranged returns the chain as this CA sends it.
func (ca *mannerCA) arranged(d *draw, chain []byte) []byte {
	d.served = d.manner != mannerExpired || !ca.Now().Before(d.until)
	leaf, _ := pem.Decode(chain)
	l, mid, root := reconciletest.PemOf(leaf.Bytes), reconciletest.PemOf(ca.good.Raw), reconciletest.PemOf(ca.Cert.Raw)
	switch {
	case d.manner == mannerMixed:
		ca.notes(d)
		parts := [][]byte{l, mid, root, mid, l}
		ca.rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return bytes.Join(parts, nil)
	case d.manner == mannerShort:
		ca.notes(d)
		return append(l, reconciletest.PemOf(ca.other(d, ca.Now().Add(ca.lifetime/2)).Raw)...)
	case !d.served:
		if ca.notes(d); d.refused.IsZero() {
			d.refused = ca.Now()
		}
		return append(l, reconciletest.PemOf(ca.other(d, ca.Now().Add(-time.Hour)).Raw)...)
	}
	return append(l, mid...)
}

// other returns an intermediate with the same key and another end, the same one for
// every read of the order.
func (ca *mannerCA) other(d *draw, ends time.Time) *x509.Certificate {
	if d.mid == nil {
		d.mid = ca.SignBy(ca.t, ends, true)
		ca.Mid = ca.good
	}
	return d.mid
}

// CRL returns the list of certificates that the CA revoked.
func (ca *mannerCA) CRL(context.Context, string) ([]byte, error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if err := ca.Away(); err != nil {
		return nil, err
	}
	list := &x509.RevocationList{Number: big.NewInt(ca.Now().Unix()), ThisUpdate: ca.Now(), NextUpdate: ca.Now().Add(7 * times.Day)}
	for _, e := range ca.listed {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, e)
	}
	return x509.CreateRevocationList(rand.Reader, list, ca.good, ca.MidKey)
}

// revokes revokes a certificate before it expires.
func (ca *mannerCA) revokes(leaf *x509.Certificate) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if _, ok := ca.revoked[keypair.SerialOf(leaf)]; ok {
		return
	}
	ca.revoked[keypair.SerialOf(leaf)] = ca.Now()
	if ca.Again == 0 {
		ca.seen[mannerListed]++
		ca.listed[keypair.SerialOf(leaf)] = x509.RevocationListEntry{SerialNumber: leaf.SerialNumber, RevocationTime: ca.Now(), ReasonCode: []int{0, ledger.KeyCompromise, 4}[ca.rng.Intn(3)]}
		return
	}
	ca.seen[mannerARI]++
	c := ca.ByARI[plan.AriID(leaf)]
	c.Start, c.End = ca.Now().Add(-time.Hour), ca.Now().Add(-time.Minute)
}

// spoiled returns the number of orders lost through the CA's fault.
func (ca *mannerCA) spoiled() (n int) {
	for _, d := range ca.drawn {
		if costs(d.manner) && !d.served {
			n++
		}
	}
	return n
}

// spoiledOf returns the number of spoiled orders for a certificate's names that were
// made in the period, or may still have been open at its start. The caller holds the
// CA's lock.
func (ca *mannerCA) spoiledOf(e ended) (n int) {
	open := e.from.Add(-ca.lifetime / plan.LeastBefore)
	for _, d := range ca.drawn {
		if costs(d.manner) && !d.served && d.names == e.names && d.made.Before(e.to) && d.made.After(open) {
			n++
		}
	}
	return n
}

// mannerYear collects the observations of one year.
type mannerYear struct {
	*reconciletest.Sim
	ca       *mannerCA
	dice     *mathrand.Rand // random source for events outside the CA, which has its own
	end      time.Time
	expired  []ended
	replaced int // revoked certificates
}

// ended is a certificate that expired while live, or that was replaced after its
// revocation.
type ended struct {
	path, names string
	from, to    time.Time // the time available for a renewal
}

func (e ended) took() time.Duration { return e.to.Sub(e.from) }

// wrote observes each replacement in Vault.
func (y *mannerYear) wrote(path string, was, _ keypair.Pair) {
	if was.Chain == nil {
		return
	}
	leaf, end := was.Leaf(), was.Ends()
	e := ended{path: path, names: reconciletest.SetOf(leaf.DNSNames), from: end.Add(-end.Sub(leaf.NotBefore) / 3), to: end}
	if !end.After(time.Now()) {
		y.expired = append(y.expired, e)
	}
	y.ca.Mu.Lock()
	defer y.ca.Mu.Unlock()
	at, ok := y.ca.revoked[keypair.SerialOf(leaf)]
	if !ok {
		return
	}
	delete(y.ca.revoked, keypair.SerialOf(leaf))
	y.replaced++
	// Allow a day until the revocation is noticed. Allow a tenth of the lifetime where
	// the certificate replaced a revoked one, and a tenth for each order that the CA
	// spoiled.
	e.from, e.to = at, time.Now()
	if most := 2*times.Day + leaf.NotAfter.Sub(leaf.NotBefore)/plan.LeastBefore*time.Duration(1+y.ca.spoiledOf(e)); e.took() > most+y.failed(e) {
		y.T.Errorf("%s was revoked, and was live for %s after it", path, e.took())
	}
}

// failed returns for how much of a period the CA failed for a certificate. A gap
// between two failures counts as failure if it is too short to expect an attempt in it:
// the next attempt follows after at most a tenth of the remaining time.
func (y *mannerYear) failed(e ended) (sum time.Duration) {
	y.Faults.Mu.Lock()
	var all []reconciletest.Fault
	for _, what := range []string{"ca", "account", "names " + e.names} {
		all = append(all, y.Faults.List[what]...)
	}
	y.Faults.Mu.Unlock()
	slices.SortFunc(all, func(a, b reconciletest.Fault) int { return a.From.Compare(b.From) })
	to := e.from
	for _, f := range all {
		from, end := times.Later(f.From, to), times.Sooner(f.To, e.to)
		if !from.Before(end) {
			continue
		}
		if sum > 0 && from.Sub(to) < e.took()/8 {
			from = to
		}
		sum, to = sum+end.Sub(from), end
	}
	return sum
}

// mannered returns the certificates for such a year: some keep their key, and some have
// the same names as another one.
func mannered(n int) []*spec.Certificate {
	cs := portfolio(n)
	for i, c := range cs {
		c.DNS = []string{"lab"}
		if i%2 == 0 {
			c.Key.Rotation = spec.RotateNever
		}
		if i%4 == 1 {
			c.Domains = cs[i-1].Domains
		}
	}
	return cs
}

func newMannerYear(t *testing.T, n int, lasts, lifetime, again time.Duration) *mannerYear {
	y := &mannerYear{dice: mathrand.New(mathrand.NewSource(7)), Sim: reconciletest.NewSim(t, 20261129, lifetime, again, mannered(n)...)}
	y.ca = newMannerCA(t, y.Sim)
	y.Port, y.Opts.CRLs, y.Pulls, y.Vault.Wrote = y.ca, y.ca, max(lifetime/180, 6*time.Hour), y.wrote
	y.Desired.Issuers["ca"].Limits.Orders.Burst, y.ca.Limits.Orders.Burst = 300+n, 300+n
	y.ca.Wrong = func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{reconciletest.CrlURL}
		if y.ca.Serial < int64(n) { // the first certificates end at random times, which spreads renewals over the year
			c.NotAfter = c.NotBefore.Add(y.ca.span(lifetime/3, lifetime))
		}
	}
	y.end = y.Began.Add(lasts)
	y.ca.calm = y.end.Add(-lifetime / 3)
	return y
}

// live runs the year. Processes restart, the CA revokes a certificate each week, and a
// person follows the advice in the message of a dead account.
func (y *mannerYear) live() {
	mended, revokes := 0, y.Began.Add(7*times.Day)
	for time.Now().Before(y.end) {
		time.Sleep(time.Hour)
		if y.dice.Intn(200) == 0 {
			y.Stop()
			y.Start()
		}
		if n := y.Faults.Past("account"); n > mended && y.retry() {
			mended = n
		}
		if now := time.Now(); now.After(revokes) && now.Before(y.ca.calm) {
			revokes = revokes.Add(7 * times.Day)
			y.Vault.Mu.Lock()
			paths := slices.Sorted(maps.Keys(y.Vault.Pairs))
			leaf := y.Vault.Pairs[paths[y.dice.Intn(len(paths))]].Leaf()
			y.Vault.Mu.Unlock()
			y.ca.revokes(leaf)
		}
	}
}

// retry runs certroll retry for a certificate that reported the dead account. If the CA
// has set a Retry-After, the retry is rejected and repeated later.
func (y *mannerYear) retry() (done bool) {
	events := y.Ledger.Events(y.T)
	reported := false
	for _, e := range slices.Backward(events) {
		if e.Status != ledger.Failed || e.Owner != ledger.OwnerAccount {
			continue
		}
		reported = true
		_, _, err := y.Reconciler().Retry(context.Background(), recorder.Retry{Certificates: []string{e.Certificate}, Actor: "ops@host"})
		if err == nil {
			return true
		}
		if !strings.Contains(err.Error(), "the CA asked to wait until") {
			y.T.Errorf("retry: %v", err)
			return true
		}
	}
	if !reported {
		y.T.Error("nobody told of the dead account")
	}
	return false
}

// judge checks the results of the year.
func (y *mannerYear) judge(t *testing.T) {
	t.Helper()
	r := y.Sum()
	y.Log(t, r)
	spoiled, orders := y.ca.spoiled(), y.ca.Counts.Orders
	each := float64(orders-spoiled) / float64(max(r.Renewals, 1))
	t.Logf("%d orders, %d of them spoiled by the CA: %.4f orders per renewal beyond those; %d expired, %d revoked ones were replaced", orders, spoiled, each, len(y.expired), y.replaced)
	if each > 1.01 && orders-spoiled-r.Renewals > 1 { // below a hundred renewals, a single order exceeds one per cent
		t.Errorf("%.4f orders per renewal beyond what the CA spoiled, want 1.01 at most", each)
	}
	if least := len(y.Desired.Certificates) * int(y.end.Sub(y.Began)/y.ca.lifetime); r.Renewals < least || y.Vault.Doubly > 0 || y.ca.Counts.Refused > 0 {
		t.Errorf("%d renewals (%d at the least), %d doubly, %d times a limit of the CA was met", r.Renewals, least, y.Vault.Doubly, y.ca.Counts.Refused)
	}
	for _, e := range y.expired {
		// One more attempt must still be possible at the end.
		if failed := y.failed(e); failed < e.took()-max(e.took()/20, 30*time.Minute) {
			t.Errorf("%s expired %s; of the %s before that the CA failed for %s", e.path, e.to, e.took(), failed)
		}
	}
	for path, p := range y.Vault.Pairs {
		if !p.Ends().After(time.Now()) {
			t.Errorf("%s has expired", path)
		}
		if at, ok := y.ca.revoked[keypair.SerialOf(p.Leaf())]; ok {
			t.Errorf("%s was revoked at %s and is live still", path, at)
		}
	}
}

// TestYearsOfManners runs years of certificates of 90, 45 and 6 days at a CA that shows
// each manner many times. A renewal may need only one order beyond those that the CA
// spoils, and no certificate may expire if its failures are shorter than the time
// available.
func TestYearsOfManners(t *testing.T) {
	seen, least := map[string]int{}, 20
	few := testing.Short() || labtest.Race || labtest.Only() // make integration runs the full number, and whole years
	if few {
		least = 1
	}
	for _, tc := range []struct {
		name            string
		lifetime, again time.Duration
		n, few          int // number of certificates; make test runs few, and for a shorter time
		lasts           time.Duration
	}{
		{"90 days, a CRL and no ARI", 90 * times.Day, 0, 80, 12, 190 * times.Day},
		{"45 days", 45 * times.Day, 6 * time.Hour, 40, 10, 110 * times.Day},
		{"6 days", 6 * times.Day, 6 * time.Hour, 6, 4, 45 * times.Day},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n, lasts := tc.n, 365*times.Day
			if few {
				n, lasts = tc.few, tc.lasts
			}
			synctest.Test(t, func(t *testing.T) {
				y := newMannerYear(t, n, lasts, tc.lifetime, tc.again)
				y.Start()
				y.live()
				y.Stop()
				y.judge(t)
				for name, n := range y.ca.seen {
					seen[name] += n
				}
			})
		})
	}
	var table strings.Builder
	for _, m := range manners {
		fmt.Fprintf(&table, "\n%-50s share %4.1f%%  costs an order: %-5t  %4d times", m.name, float64(m.share)/10, m.costs, seen[m.name])
		if seen[m.name] < least {
			t.Errorf("%s: %d times, want %d at the least", m.name, seen[m.name], least)
		}
	}
	t.Log(table.String())
}
