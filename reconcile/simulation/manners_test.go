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

// The manners of CAs, as bug reports of other clients have them. A manner is drawn
// for each request for an order, at most one, by its share. One that costs an order
// spoils the order that it is drawn for: whatever a client does, it needs another
// one. The rest is to be lived with by one order for each renewal.
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
	share int  // of a thousand requests; 0: it comes about by others, or by the clock
	costs bool // an order, which is the CA's doing
}{
	{mannerLost, 40, false},
	{mannerReuse, 0, false},
	{mannerPolls, 40, false},
	{mannerMinutes, 40, false},
	{mannerDays, 40, true},
	{mannerRefused, 40, true},
	{mannerURL, 40, true},
	{mannerBusy, 40, false},
	{mannerKey, 80, true}, // of kept keys alone, and only where the order is gone with it
	{mannerLimit, 40, false},
	{mannerAway, 40, false},
	{mannerAccount, 40, true}, // the orders that were open: another account may not finish them
	{mannerMixed, 40, false},
	{mannerShort, 40, false},
	{mannerExpired, 40, false},
	{mannerListed, 0, false},
	{mannerARI, 0, false},
}

// cardShare is how many of a thousand requests one card of the deck stands for.
const cardShare = 40

// costs tells whether a manner costs an order.
func costs(name string) bool {
	for _, m := range manners {
		if m.name == name {
			return m.costs
		}
	}
	return false
}

// mannerCA is a simCA with manners.
type mannerCA struct {
	*reconciletest.SimCA
	t         testing.TB
	rng       *mathrand.Rand
	lifetime  time.Duration
	good      *x509.Certificate // the intermediate that lasts
	drawn     map[string]*draw  // by the order's URL
	seen      map[string]int    // how often a manner came about
	deck      []string
	next      map[string]time.Time // when what hits all may come again
	certified map[string]bool      // keys that have a certificate
	blocked   map[string]bool
	listed    map[string]x509.RevocationListEntry
	revoked   map[string]time.Time // by serial: what is not replaced yet
	calm      time.Time            // from here on nothing is drawn
	owed      bool                 // a key is to be blocked, and the order that drew it has a new one
}

// draw is what an order has coming.
type draw struct {
	manner  string
	names   string
	made    time.Time
	until   time.Time // when it is over
	seen    bool
	served  bool      // its certificate was handed out, with a chain that is not refused
	refused time.Time // when it was handed out first with one that is
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

// part is a part of the lifetime, so that short lives have short troubles.
func (ca *mannerCA) part(least, most int) time.Duration {
	return ca.span(ca.lifetime/time.Duration(least), ca.lifetime/time.Duration(most))
}

// shuffle makes a deck of 25 cards, a card for each 40 of a thousand requests. Cards
// are drawn until none is left, so that each manner comes about as often as it is to.
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

// draws is the manner of a request.
func (ca *mannerCA) draws() string {
	if !ca.Now().Before(ca.calm) {
		return ""
	}
	if len(ca.deck) == 0 {
		ca.shuffle()
	}
	m := ca.deck[0]
	ca.deck = ca.deck[1:]
	if m == mannerAway || m == mannerAccount { // what hits all leaves a tenth of a life free between
		if ca.Now().Before(ca.next[m]) {
			return ""
		}
		ca.next[m] = ca.Now().Add(ca.lifetime / 10)
	}
	return m
}

// dead is an account that the CA does not take, until a person has acted.
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

// request is what becomes of a request before there is an order.
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
			if ca.Made[url].Chain != nil { // a certificate that was refused: another order follows a day after that
				ca.Faults.Add("names "+d.names, d.refused, times.Day)
			}
			d.manner, d.seen, ca.Made[url].Dead = mannerAccount, true, true // counted already
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

// has is what an order with a manner has coming, and for how long it is to blame.
// A manner whose end is certroll's own to bring about is no excuse.
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

// pollsFor is how long a client polls, at its own pace, before the CA has decided or
// its deadline of 15 minutes is over.
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

// notes counts a manner once for each order.
func (ca *mannerCA) notes(d *draw) {
	if !d.seen {
		d.seen = true
		ca.seen[d.manner]++
	}
}

// spoils is why an order is not finished.
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

// fails is what an order with its manner is answered now.
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

// arranged is the chain as this CA sends it.
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

// other is an intermediate of the same key with another end, the same one whenever
// the order is read.
func (ca *mannerCA) other(d *draw, ends time.Time) *x509.Certificate {
	if d.mid == nil {
		d.mid = ca.SignBy(ca.t, ends, true)
		ca.Mid = ca.good
	}
	return d.mid
}

// CRL is the list of what the CA revoked.
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

// revokes ends a certificate before its time.
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

// spoiled are the orders that the CA cost.
func (ca *mannerCA) spoiled() (n int) {
	for _, d := range ca.drawn {
		if costs(d.manner) && !d.served {
			n++
		}
	}
	return n
}

// spoiledOf are those for the names of a certificate that were made in a time, or may
// have been open still when it began. The CA's lock is held.
func (ca *mannerCA) spoiledOf(e ended) (n int) {
	open := e.from.Add(-ca.lifetime / plan.LeastBefore)
	for _, d := range ca.drawn {
		if costs(d.manner) && !d.served && d.names == e.names && d.made.Before(e.to) && d.made.After(open) {
			n++
		}
	}
	return n
}

// mannerYear is what is watched in a year.
type mannerYear struct {
	*reconciletest.Sim
	ca       *mannerCA
	dice     *mathrand.Rand // of what happens outside of the CA, which has its own
	end      time.Time
	expired  []ended
	replaced int // certificates that were revoked
}

// ended is a certificate that expired while it was live, or that was replaced after
// the CA had revoked it.
type ended struct {
	path, names string
	from, to    time.Time // the time that there was for a renewal
}

func (e ended) took() time.Duration { return e.to.Sub(e.from) }

// wrote is told what gives way to what, in Vault.
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
	// A day until it is seen; a tenth of its life where it took the place of a revoked
	// one, and for each order that the CA spoiled, which may be taken up that long.
	e.from, e.to = at, time.Now()
	if most := 2*times.Day + leaf.NotAfter.Sub(leaf.NotBefore)/plan.LeastBefore*time.Duration(1+y.ca.spoiledOf(e)); e.took() > most+y.failed(e) {
		y.T.Errorf("%s was revoked, and was live for %s after it", path, e.took())
	}
}

// failed is for how much of a time the CA failed for a certificate. What lies between
// two failures belongs to them where it is so short that no attempt can be expected
// in it: the next attempt follows after a tenth of what is left at most.
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

// mannered is a portfolio for such a year: some keys are kept, some certificates are
// for the names of another one.
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
		if y.ca.Serial < int64(n) { // the first ones end at random, so that renewals are spread over the year
			c.NotAfter = c.NotBefore.Add(y.ca.span(lifetime/3, lifetime))
		}
	}
	y.end = y.Began.Add(lasts)
	y.ca.calm = y.end.Add(-lifetime / 3)
	return y
}

// live lets the year pass. Processes start anew, the CA revokes something each week,
// and a person does what the message of a dead account says.
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

// retry is certroll retry for a certificate that told of the dead account. One that the
// CA has told since when to come back is refused, and left to a later hour.
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

// judge says what came of the year.
func (y *mannerYear) judge(t *testing.T) {
	t.Helper()
	r := y.Sum()
	y.Log(t, r)
	spoiled, orders := y.ca.spoiled(), y.ca.Counts.Orders
	each := float64(orders-spoiled) / float64(max(r.Renewals, 1))
	t.Logf("%d orders, %d of them spoiled by the CA: %.4f orders per renewal beyond those; %d expired, %d revoked ones were replaced", orders, spoiled, each, len(y.expired), y.replaced)
	if each > 1.01 && orders-spoiled-r.Renewals > 1 { // few renewals are under a hundred, of which one order is more than a hundredth
		t.Errorf("%.4f orders per renewal beyond what the CA spoiled, want 1.01 at most", each)
	}
	if least := len(y.Desired.Certificates) * int(y.end.Sub(y.Began)/y.ca.lifetime); r.Renewals < least || y.Vault.Doubly > 0 || y.ca.Counts.Refused > 0 {
		t.Errorf("%d renewals (%d at the least), %d doubly, %d times a limit of the CA was met", r.Renewals, least, y.Vault.Doubly, y.ca.Counts.Refused)
	}
	for _, e := range y.expired {
		// At the end there has to be time for one more attempt.
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

// TestYearsOfManners: years of certificates of 90, 45 and 6 days at a CA that has each
// manner of the table, many times. A renewal takes one order beyond what the CA
// spoils, and nothing expires whose failure is shorter than the time that there is.
func TestYearsOfManners(t *testing.T) {
	seen, least := map[string]int{}, 20
	few := testing.Short() || labtest.Race || labtest.Only() // make integration has the many, and whole years
	if few {
		least = 1
	}
	for _, tc := range []struct {
		name            string
		lifetime, again time.Duration
		n, few          int // certificates; few under make test, and for a shorter time
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
