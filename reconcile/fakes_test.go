package reconcile

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/archive"
	"certroll/reconcile/attempt"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// The ports in memory. The real ones are tried by the integration tests of
// cmd/certroll; these show what the real ones cannot be made to do on demand.

type memVersion struct {
	data    map[string]string
	deleted bool
}

type memSecret struct {
	versions []memVersion
	custom   map[string]string
}

type memVault struct {
	mu      sync.Mutex
	secrets map[string]*memSecret
	writes  int
	fail    func(op, path string) error // nil: nothing fails
}

type conflictError struct{ err error }

func (c conflictError) Error() string { return c.err.Error() }

func (conflictError) Conflict() bool { return true }
func (conflictError) Class() string  { return "vault" }

func newMemVault() *memVault { return &memVault{secrets: map[string]*memSecret{}} }

func (v *memVault) enter(op, mount, path string) (string, error) {
	v.mu.Lock()
	full := mount + "/" + path
	if v.fail != nil {
		if err := v.fail(op, full); err != nil {
			return full, err
		}
	}
	return full, nil
}

func (v *memVault) ReadMetadata(_ context.Context, mount, path string) (int, bool, map[string]string, error) {
	full, err := v.enter("metadata", mount, path)
	defer v.mu.Unlock()
	s := v.secrets[full]
	if err != nil || s == nil {
		return 0, false, nil, err
	}
	n := len(s.versions)
	return n, n > 0 && !s.versions[n-1].deleted, maps.Clone(s.custom), nil
}

func (v *memVault) List(_ context.Context, mount, path string) ([]string, error) {
	full, err := v.enter("list", mount, path)
	defer v.mu.Unlock()
	var keys []string
	for p := range v.secrets {
		if rest, ok := strings.CutPrefix(p, full+"/"); ok {
			if name, _, folder := strings.Cut(rest, "/"); folder {
				rest = name + "/"
			}
			keys = append(keys, rest)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), err
}

func (v *memVault) Read(_ context.Context, mount, path string) (map[string]string, int, error) {
	full, err := v.enter("read", mount, path)
	defer v.mu.Unlock()
	s := v.secrets[full]
	if err != nil {
		return nil, 0, err
	}
	if s == nil || len(s.versions) == 0 || s.versions[len(s.versions)-1].deleted {
		return nil, 0, fs.ErrNotExist
	}
	return maps.Clone(s.versions[len(s.versions)-1].data), len(s.versions), nil
}

func (v *memVault) ReadVersion(_ context.Context, mount, path string, n int) (map[string]string, error) {
	full, err := v.enter("read", mount, path)
	defer v.mu.Unlock()
	s := v.secrets[full]
	if err != nil {
		return nil, err
	}
	if s == nil || n < 1 || n > len(s.versions) || s.versions[n-1].deleted {
		return nil, fs.ErrNotExist
	}
	return maps.Clone(s.versions[n-1].data), nil
}

func (v *memVault) Write(_ context.Context, mount, path string, data map[string]string, cas int) (int, error) {
	full, err := v.enter("write", mount, path)
	defer v.mu.Unlock()
	if err != nil {
		return 0, err
	}
	s := v.secrets[full]
	if s == nil {
		s = &memSecret{}
		v.secrets[full] = s
	}
	if len(s.versions) != cas {
		return 0, conflictError{fmt.Errorf("check-and-set parameter did not match the current version %d", len(s.versions))}
	}
	v.writes++
	s.versions = append(s.versions, memVersion{data: maps.Clone(data)})
	return len(s.versions), nil
}

func (v *memVault) WriteMetadata(_ context.Context, mount, path string, custom map[string]string) error {
	full, err := v.enter("write-metadata", mount, path)
	defer v.mu.Unlock()
	if err != nil {
		return err
	}
	for key, value := range custom { // as the real one does
		if value == "" || len(value) > ledger.MaxMeta {
			return fmt.Errorf("custom_metadata validation failed: length of value for key %q is %d", key, len(value))
		}
	}
	if v.secrets[full] == nil {
		v.secrets[full] = &memSecret{}
	}
	v.writes++
	v.secrets[full].custom = maps.Clone(custom)
	return nil
}

func (v *memVault) Delete(_ context.Context, mount, path string) error {
	full, err := v.enter("delete", mount, path)
	defer v.mu.Unlock()
	if s := v.secrets[full]; err == nil && s != nil && len(s.versions) > 0 {
		s.versions[len(s.versions)-1].deleted = true
	}
	return err
}

func (v *memVault) Destroy(_ context.Context, mount, path string) error {
	full, err := v.enter("destroy", mount, path)
	defer v.mu.Unlock()
	if err == nil {
		delete(v.secrets, full)
	}
	return err
}

// memCA signs what it is asked for.
type memCA struct {
	mu        sync.Mutex
	key       *ecdsa.PrivateKey
	cert      *x509.Certificate
	serial    int64
	orders    map[string][]string
	issued    map[string][]byte
	revoked   []uint
	now       func() time.Time
	lifetime  time.Duration
	fail      func(op string, n int) error // n counts the calls of that op
	calls     map[string]int
	wrong     func(*x509.Certificate)                           // spoils what is signed
	dns       func(account string) error                        // nil: every account works
	info      func(certID string) (start, end, again time.Time) // nil: the CA offers no renewal information
	replaced  []string                                          // what orders carried
	answer    []byte                                            // the chain of each order; nil: its own
	mid       *x509.Certificate                                 // signs in place of the root; nil: the root does
	midKey    *ecdsa.PrivateKey
	chainNote string   // what is reported of the chain; "": nothing
	chains    []string // the preferred chains of the issuers that orders were finished for
	// publishes are the DNS accounts that are reported to have answered for a name.
	publishes []string
	resend    func(chain []byte) []byte // what is sent of a chain, each time anew; nil: as it is
	account   func() error              // of CheckAccount; nil: every account is in order
	answers   func(url string) string   // what finishing an order answers; nil: nothing
	swept     []string                  // what was finished, and removed
	sweptBy   []string                  // issuer and accounts of each removal
	stay      []string                  // what RemoveAnswers cannot remove
}

type caError struct {
	class   string
	at      time.Time
	gone    bool
	text    string
	account string
	names   []string
	owner   string
	working bool // the CA is at work on the order
	badKey  bool
}

func (e *caError) BadKey() bool { return e.badKey }

func (e *caError) Processing() bool   { return e.working }
func (e *caError) Owner() string      { return e.owner }
func (e *caError) Error() string      { return e.text }
func (e *caError) Class() string      { return e.class }
func (e *caError) RetryAt() time.Time { return e.at }
func (e *caError) OrderGone() bool    { return e.gone }
func (e *caError) Account() string    { return e.account }
func (e *caError) Names() []string    { return e.names }

func newMemCA(t testing.TB, now func() time.Time) *memCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), SubjectKeyId: []byte("test root key"), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now().Add(-time.Hour), NotAfter: now().Add(100 * 365 * times.Day), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &memCA{key: key, cert: cert, serial: 1, orders: map[string][]string{}, issued: map[string][]byte{}, calls: map[string]int{}, now: now, lifetime: 90 * times.Day}
}

func (ca *memCA) called(op string) error {
	ca.calls[op]++
	if ca.fail != nil {
		return ca.fail(op, ca.calls[op])
	}
	return nil
}

func (ca *memCA) Order(_ context.Context, issuer *spec.Issuer, names []string, replaces string) (string, bool, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := ca.called("order"); err != nil {
		return "", false, err
	}
	if err := ca.called("order " + issuer.Name); err != nil {
		return "", false, err
	}
	ca.replaced = append(ca.replaced, replaces)
	// As Let's Encrypt does: equal names give back the order that is open.
	for url, of := range ca.orders {
		if ca.issued[url] == nil && slices.Equal(of, names) {
			return url, replaces != "", nil
		}
	}
	url := fmt.Sprintf("https://ca.example/order/%d", len(ca.orders)+1)
	ca.orders[url] = names
	return url, replaces != "", nil
}

func (ca *memCA) Finish(ctx context.Context, issuer *spec.Issuer, url string, csr []byte, accounts []*spec.DNSAccount, report func(string, string)) ([]byte, string, []error, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.answers != nil {
		report("answers", ca.answers(url))
	}
	if ctx.Err() == nil {
		ca.swept = append(ca.swept, "finish "+url)
	}
	if err := ca.called("finish"); err != nil {
		return nil, "", nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, "", nil, err
	}
	if ca.orders[url] == nil {
		return nil, "", nil, &caError{class: "ca_rejected", gone: true, text: "no such order"}
	}
	account, passed, err := ca.validate(accounts)
	if err != nil {
		return nil, "", passed, err
	}
	if ca.answer != nil {
		ca.issued[url] = ca.answer
	}
	if chain := ca.issued[url]; chain != nil {
		return ca.sent(chain), account, passed, nil
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, "", passed, err
	}
	report("ca", "signing")
	ca.chains = append(ca.chains, issuer.PreferredChain)
	if ca.chainNote != "" {
		report(attempt.StepChain, ca.chainNote)
	}
	for _, name := range ca.publishes {
		report(attempt.StepPublished, name)
	}
	chain := ca.sign(req.DNSNames, req.PublicKey)
	ca.issued[url] = chain
	return ca.sent(chain), account, passed, nil
}

// RemoveAnswers notes what is to be removed.
func (ca *memCA) RemoveAnswers(ctx context.Context, issuer *spec.Issuer, accounts []*spec.DNSAccount, answers []string, _ func(string, string)) ([]string, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := ca.called("remove"); err != nil {
		return nil, err
	}
	by := issuer.Name
	for _, account := range accounts {
		by += " dns." + account.Name
	}
	ca.sweptBy = append(ca.sweptBy, by)
	ca.swept = append(ca.swept, fmt.Sprintf("remove %s through %d", strings.Join(answers, ", "), len(accounts)))
	return ca.stay, nil
}

func (ca *memCA) sent(chain []byte) []byte {
	if ca.resend == nil {
		return chain
	}
	return ca.resend(chain)
}

func (ca *memCA) CheckAccount(context.Context, *spec.Issuer) error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.calls["account"]++
	if ca.account == nil {
		return nil
	}
	return ca.account()
}

// validate is the first account that works.
func (ca *memCA) validate(accounts []*spec.DNSAccount) (account string, passed []error, err error) {
	for _, a := range accounts {
		if ca.dns != nil {
			err = ca.dns(a.Name)
		}
		if err == nil {
			return a.Name, passed, nil
		}
		passed = append(passed, err)
	}
	return "", passed[:len(passed)-1], err
}

// ordered is how many orders there are, and what the last one replaces.
func (ca *memCA) ordered() (n int, replaces string) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if n = len(ca.replaced); n > 0 {
		replaces = ca.replaced[n-1]
	}
	return n, replaces
}

func (ca *memCA) RenewalInfo(_ context.Context, _ *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.info == nil {
		return start, end, "", again, errors.ErrUnsupported
	}
	if err := ca.called("info"); err != nil {
		return start, end, "", again, err
	}
	start, end, again = ca.info(certID)
	return start, end, "", again, nil
}

func (ca *memCA) sign(names []string, pub crypto.PublicKey) []byte {
	ca.serial++
	leaf := &x509.Certificate{SerialNumber: big.NewInt(ca.serial), AuthorityKeyId: ca.cert.SubjectKeyId, DNSNames: names, NotBefore: ca.now().Add(-time.Minute), NotAfter: ca.now().Add(ca.lifetime)}
	if ca.wrong != nil {
		ca.wrong(leaf)
	}
	signer, key := ca.cert, ca.key
	if ca.mid != nil {
		signer, key = ca.mid, ca.midKey
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, signer, pub, key)
	if err != nil {
		panic(err)
	}
	return append(pemOf(der), pemOf(signer.Raw)...)
}

func pemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

// signBy has the CA sign by an intermediate that ends at a moment. One with the key
// of the last one takes its place in chains that were sent before.
func (ca *memCA) signBy(t testing.TB, end time.Time, sameKey bool) *x509.Certificate {
	t.Helper()
	if ca.midKey == nil || !sameKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ca.midKey = key
	}
	ca.serial++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.serial), SubjectKeyId: []byte("test intermediate"), Subject: pkix.Name{CommonName: "test intermediate"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: ca.cert.NotBefore, NotAfter: end, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, ca.midKey.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.mid, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca.mid
}

func (ca *memCA) Revoke(_ context.Context, _ *spec.Issuer, _ []byte, reason uint) error {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.revoked = append(ca.revoked, reason)
	return ca.called("revoke")
}

// memLedger is a branch; race runs between the edit and its push, once.
type memLedger struct {
	mu       sync.Mutex
	tree     fstest.MapFS
	messages []string
	race     func(tree fstest.MapFS)
	err      error
}

func newMemLedger() *memLedger { return &memLedger{tree: fstest.MapFS{}} }

func (l *memLedger) Snapshot(context.Context) (fs.FS, string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.tree), fmt.Sprint(len(l.messages)), l.err
}

func (l *memLedger) Commit(_ context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return "", l.err
	}
	for {
		files, err := edit(maps.Clone(l.tree))
		if err != nil {
			return "", err
		}
		if race := l.race; race != nil {
			l.race = nil
			race(l.tree)
			continue
		}
		changed := false
		for name, b := range files {
			if old := l.tree[name]; old == nil || string(old.Data) != string(b) {
				changed = true
				l.tree[name] = &fstest.MapFile{Data: b}
			}
		}
		if !changed {
			return "", nil
		}
		l.messages = append(l.messages, message)
		return fmt.Sprintf("%040d", len(l.messages)), nil
	}
}

func (l *memLedger) events(t testing.TB) []ledger.Event {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	files, err := archive.AuditFiles(l.tree)
	if err != nil {
		t.Fatal(err)
	}
	var events []ledger.Event
	for _, f := range files {
		for line := range strings.Lines(string(l.tree[f].Data)) {
			var e ledger.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
	}
	return events
}

func (l *memLedger) record(t testing.TB, name string) *ledger.Record {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.tree[ledger.RecordFile(name)]
	if f == nil {
		t.Fatalf("the ledger has no record of %q", name)
	}
	r, err := ledger.UnmarshalRecord(f.Data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type memJournal struct {
	mu    sync.Mutex
	lines [][]byte
}

func (j *memJournal) Append(line []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, slices.Clone(line))
	return nil
}

func (j *memJournal) Entries() ([][]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines), nil
}

func (j *memJournal) Ack(n int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n > len(j.lines) {
		return errors.New("acknowledged more than there is")
	}
	j.lines = j.lines[n:]
	return nil
}

// world is everything in memory, with a clock that tests turn.
type world struct {
	t       testing.TB
	at      time.Time
	vault   *memVault
	ca      *memCA
	ledger  *memLedger
	journal *memJournal
	desired *spec.Spec
	opts    attempt.Options
}

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, certificates ...*spec.Certificate) *world {
	w := &world{t: t, at: start, vault: newMemVault(), ledger: newMemLedger(), journal: &memJournal{}}
	w.ca = newMemCA(t, func() time.Time { return w.at })
	w.desired = desire(certificates...)
	w.opts = attempt.Options{Now: func() time.Time { return w.at }, Patience: []time.Duration{}}
	return w
}

func desire(certificates ...*spec.Certificate) *spec.Spec {
	return &spec.Spec{
		Issuers:      map[string]*spec.Issuer{"ca": {Name: "ca", Directory: "https://ca.example/dir"}},
		DNS:          map[string]*spec.DNSAccount{"lab": {Name: "lab", Challenge: spec.DNS01}},
		Certificates: certificates,
	}
}

func certificate(name string, names ...string) *spec.Certificate {
	c := &spec.Certificate{
		Name: name, Issuer: "ca", DNS: []string{"lab"}, Renewal: spec.Renewal{Auto: true, ThresholdDays: 30},
		Key: spec.Key{Rotation: spec.RotateAlways}, Vault: spec.Target{Mount: "secret", Path: "tls/" + name}, OnRemove: spec.Keep, File: "certs.hcl",
	}
	for _, n := range names {
		c.Domains = append(c.Domains, spec.Domain{Typed: n, ASCII: n})
	}
	return c
}

// reconciler is a new process on the same world.
func (w *world) reconciler() *apply.Reconciler {
	return apply.New(&observe.Observer{Metadata: w.vault, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}, w.vault, w.ca, w.ledger, w.journal, w.opts)
}

func (w *world) plan() []plan.Action {
	w.t.Helper()
	_, actions := w.planned()
	return actions
}

// planned is a new process that has made its plan.
func (w *world) planned() (*apply.Reconciler, []plan.Action) {
	w.t.Helper()
	r := w.reconciler()
	obs, err := r.Observe(context.Background(), w.desired)
	if err != nil {
		w.t.Fatal(err)
	}
	return r, plan.Plan(w.desired, obs, w.at)
}

func (w *world) apply(ctx context.Context) (*apply.Report, error) {
	w.t.Helper()
	r, actions := w.planned()
	return r.Apply(ctx, w.desired, ledger.Revision{Commit: "c0ffee", Author: "A. Owner <owner@example.com>"}, actions)
}

// settle applies and demands that all went well.
func (w *world) settle() *apply.Report {
	w.t.Helper()
	report, err := w.apply(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range report.Results {
		if r.Err != nil {
			w.t.Fatalf("%s: %v", r.Action.Certificate, r.Err)
		}
	}
	return report
}

func (w *world) only() plan.Action {
	w.t.Helper()
	actions := w.plan()
	if len(actions) != 1 {
		w.t.Fatalf("the plan has %d actions, want 1: %+v", len(actions), actions)
	}
	return actions[0]
}

// secretPair is what a consumer reads.
func (w *world) secretPair(path string) keypair.Pair {
	w.t.Helper()
	data, _, err := w.vault.Read(context.Background(), "secret", path)
	if err != nil {
		w.t.Fatal(err)
	}
	p, err := keypair.FindIn(data)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}
