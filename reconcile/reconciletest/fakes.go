package reconciletest

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

// The ports in memory. The integration tests of cmd/certroll cover the real ones; these
// produce failures that the real ones cannot produce on demand.

// MemVersion is one version of a secret.
type MemVersion struct {
	Data    map[string]string
	Deleted bool
}

type memSecret struct {
	Versions []MemVersion
	Custom   map[string]string
}

// MemVault is a KV v2 engine in memory.
type MemVault struct {
	Mu      sync.Mutex
	Secrets map[string]*memSecret
	Writes  int
	Fail    func(op, path string) error // nil: nothing fails
}

// ConflictError is Vault's error for a check-and-set mismatch.
type ConflictError struct{ Err error }

func (c ConflictError) Error() string { return c.Err.Error() }

// Conflict reports that another version is current.
func (ConflictError) Conflict() bool { return true }

// Class returns the class of Vault's errors.
func (ConflictError) Class() string { return "vault" }

// NewMemVault returns an empty engine.
func NewMemVault() *MemVault { return &MemVault{Secrets: map[string]*memSecret{}} }

func (v *MemVault) enter(op, mount, path string) (string, error) {
	v.Mu.Lock()
	full := mount + "/" + path
	if v.Fail != nil {
		if err := v.Fail(op, full); err != nil {
			return full, err
		}
	}
	return full, nil
}

// ReadMetadata implements observe.MetadataReader.
func (v *MemVault) ReadMetadata(_ context.Context, mount, path string) (int, bool, map[string]string, error) {
	full, err := v.enter("metadata", mount, path)
	defer v.Mu.Unlock()
	s := v.Secrets[full]
	if err != nil || s == nil {
		return 0, false, nil, err
	}
	n := len(s.Versions)
	return n, n > 0 && !s.Versions[n-1].Deleted, maps.Clone(s.Custom), nil
}

// List implements observe.MetadataReader.
func (v *MemVault) List(_ context.Context, mount, path string) ([]string, error) {
	full, err := v.enter("list", mount, path)
	defer v.Mu.Unlock()
	var keys []string
	for p := range v.Secrets {
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

// Read implements pending.SecretReader.
func (v *MemVault) Read(_ context.Context, mount, path string) (map[string]string, int, error) {
	full, err := v.enter("read", mount, path)
	defer v.Mu.Unlock()
	s := v.Secrets[full]
	if err != nil {
		return nil, 0, err
	}
	if s == nil || len(s.Versions) == 0 || s.Versions[len(s.Versions)-1].Deleted {
		return nil, 0, fs.ErrNotExist
	}
	return maps.Clone(s.Versions[len(s.Versions)-1].Data), len(s.Versions), nil
}

// ReadVersion implements pending.SecretReader.
func (v *MemVault) ReadVersion(_ context.Context, mount, path string, n int) (map[string]string, error) {
	full, err := v.enter("read", mount, path)
	defer v.Mu.Unlock()
	s := v.Secrets[full]
	if err != nil {
		return nil, err
	}
	if s == nil || n < 1 || n > len(s.Versions) || s.Versions[n-1].Deleted {
		return nil, fs.ErrNotExist
	}
	return maps.Clone(s.Versions[n-1].Data), nil
}

// Write implements pending.SecretWriter, with check-and-set.
func (v *MemVault) Write(_ context.Context, mount, path string, data map[string]string, cas int) (int, error) {
	full, err := v.enter("write", mount, path)
	defer v.Mu.Unlock()
	if err != nil {
		return 0, err
	}
	s := v.Secrets[full]
	if s == nil {
		s = &memSecret{}
		v.Secrets[full] = s
	}
	if len(s.Versions) != cas {
		return 0, ConflictError{fmt.Errorf("check-and-set parameter did not match the current version %d", len(s.Versions))}
	}
	v.Writes++
	s.Versions = append(s.Versions, MemVersion{Data: maps.Clone(data)})
	return len(s.Versions), nil
}

// WriteMetadata implements pending.SecretWriter.
func (v *MemVault) WriteMetadata(_ context.Context, mount, path string, custom map[string]string) error {
	full, err := v.enter("write-metadata", mount, path)
	defer v.Mu.Unlock()
	if err != nil {
		return err
	}
	for key, value := range custom { // as the real engine does
		if value == "" || len(value) > ledger.MaxMeta {
			return fmt.Errorf("custom_metadata validation failed: length of value for key %q is %d", key, len(value))
		}
	}
	if v.Secrets[full] == nil {
		v.Secrets[full] = &memSecret{}
	}
	v.Writes++
	v.Secrets[full].Custom = maps.Clone(custom)
	return nil
}

// Delete implements pending.SecretRemover.
func (v *MemVault) Delete(_ context.Context, mount, path string) error {
	full, err := v.enter("delete", mount, path)
	defer v.Mu.Unlock()
	if s := v.Secrets[full]; err == nil && s != nil && len(s.Versions) > 0 {
		s.Versions[len(s.Versions)-1].Deleted = true
	}
	return err
}

// Destroy implements pending.SecretRemover.
func (v *MemVault) Destroy(_ context.Context, mount, path string) error {
	full, err := v.enter("destroy", mount, path)
	defer v.Mu.Unlock()
	if err == nil {
		delete(v.Secrets, full)
	}
	return err
}

// MemCA is a CA in memory that signs every request.
type MemCA struct {
	Mu        sync.Mutex
	Key       *ecdsa.PrivateKey
	Cert      *x509.Certificate
	Serial    int64
	Orders    map[string][]string
	Issued    map[string][]byte
	Revoked   []uint
	Now       func() time.Time
	Lifetime  time.Duration
	Fail      func(op string, n int) error // n counts the calls of op
	Calls     map[string]int
	Wrong     func(*x509.Certificate)                           // spoils the certificate before it is signed
	DNS       func(account string) error                        // nil: every account works
	Info      func(certID string) (start, end, again time.Time) // nil: the CA offers no renewal information
	Replaced  []string                                          // values of replaces
	Answer    []byte                                            // chain of each order; nil: its own
	Mid       *x509.Certificate                                 // signs instead of the root; nil: the root signs
	MidKey    *ecdsa.PrivateKey
	ChainNote string   // reported note about the chain; "": none
	Chains    []string // preferred chains of the issuers whose orders were finished
	// Publishes lists the DNS accounts that are reported to have answered for a name.
	Publishes []string
	Resend    func(chain []byte) []byte // changes a chain each time it is sent; nil: unchanged
	Account   func() error              // result of CheckAccount; nil: every account is usable
	Answers   func(url string) string   // challenges that finishing an order answers; nil: none
	Swept     []string                  // challenges of finished orders that were removed
	SweptBy   []string                  // issuer and accounts of each removal
	Stay      []string                  // answers that RemoveAnswers cannot remove
}

// CaError is a CA's error, with all that certroll may learn from one.
type CaError struct {
	Code       string
	At         time.Time
	Gone       bool
	Text       string
	OfAccount  string
	OfNames    []string
	OwnedBy    string
	Working    bool // the CA is processing the order
	KeyRefused bool
}

// BadKey reports that the CA rejected the key.
func (e *CaError) BadKey() bool { return e.KeyRefused }

func (e *CaError) Processing() bool   { return e.Working }
func (e *CaError) Owner() string      { return e.OwnedBy }
func (e *CaError) Error() string      { return e.Text }
func (e *CaError) Class() string      { return e.Code }
func (e *CaError) RetryAt() time.Time { return e.At }
func (e *CaError) OrderGone() bool    { return e.Gone }
func (e *CaError) Account() string    { return e.OfAccount }
func (e *CaError) Names() []string    { return e.OfNames }

// NewMemCA returns a CA that issues at once.
func NewMemCA(t testing.TB, now func() time.Time) *MemCA {
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
	return &MemCA{Key: key, Cert: cert, Serial: 1, Orders: map[string][]string{}, Issued: map[string][]byte{}, Calls: map[string]int{}, Now: now, Lifetime: 90 * times.Day}
}

func (ca *MemCA) called(op string) error {
	ca.Calls[op]++
	if ca.Fail != nil {
		return ca.Fail(op, ca.Calls[op])
	}
	return nil
}

// Order implements attempt.CA.
func (ca *MemCA) Order(_ context.Context, issuer *spec.Issuer, names []string, replaces string) (string, bool, error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if err := ca.called("order"); err != nil {
		return "", false, err
	}
	if err := ca.called("order " + issuer.Name); err != nil {
		return "", false, err
	}
	ca.Replaced = append(ca.Replaced, replaces)
	// Like Let's Encrypt: equal names return the open order.
	for url, of := range ca.Orders {
		if ca.Issued[url] == nil && slices.Equal(of, names) {
			return url, replaces != "", nil
		}
	}
	url := fmt.Sprintf("https://ca.example/order/%d", len(ca.Orders)+1)
	ca.Orders[url] = names
	return url, replaces != "", nil
}

// Finish implements attempt.CA.
func (ca *MemCA) Finish(ctx context.Context, issuer *spec.Issuer, url string, csr []byte, accounts []*spec.DNSAccount, report func(string, string)) ([]byte, string, []error, error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if ca.Answers != nil {
		report("answers", ca.Answers(url))
	}
	if ctx.Err() == nil {
		ca.Swept = append(ca.Swept, "finish "+url)
	}
	if err := ca.called("finish"); err != nil {
		return nil, "", nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, "", nil, err
	}
	if ca.Orders[url] == nil {
		return nil, "", nil, &CaError{Code: "ca_rejected", Gone: true, Text: "no such order"}
	}
	account, passed, err := ca.validate(accounts)
	if err != nil {
		return nil, "", passed, err
	}
	if ca.Answer != nil {
		ca.Issued[url] = ca.Answer
	}
	if chain := ca.Issued[url]; chain != nil {
		return ca.sent(chain), account, passed, nil
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, "", passed, err
	}
	report("ca", "signing")
	ca.Chains = append(ca.Chains, issuer.PreferredChain)
	if ca.ChainNote != "" {
		report(attempt.StepChain, ca.ChainNote)
	}
	for _, name := range ca.Publishes {
		report(attempt.StepPublished, name)
	}
	chain := ca.Sign(req.DNSNames, req.PublicKey)
	ca.Issued[url] = chain
	return ca.sent(chain), account, passed, nil
}

// RemoveAnswers records the answers to remove.
func (ca *MemCA) RemoveAnswers(ctx context.Context, issuer *spec.Issuer, accounts []*spec.DNSAccount, answers []string, _ func(string, string)) ([]string, error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
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
	ca.SweptBy = append(ca.SweptBy, by)
	ca.Swept = append(ca.Swept, fmt.Sprintf("remove %s through %d", strings.Join(answers, ", "), len(accounts)))
	return ca.Stay, nil
}

func (ca *MemCA) sent(chain []byte) []byte {
	if ca.Resend == nil {
		return chain
	}
	return ca.Resend(chain)
}

// CheckAccount implements attempt.AccountChecker.
func (ca *MemCA) CheckAccount(context.Context, *spec.Issuer) error {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	ca.Calls["account"]++
	if ca.Account == nil {
		return nil
	}
	return ca.Account()
}

// validate returns the first account that works.
func (ca *MemCA) validate(accounts []*spec.DNSAccount) (account string, passed []error, err error) {
	for _, a := range accounts {
		if ca.DNS != nil {
			err = ca.DNS(a.Name)
		}
		if err == nil {
			return a.Name, passed, nil
		}
		passed = append(passed, err)
	}
	return "", passed[:len(passed)-1], err
}

// Ordered returns the number of orders, and the last value of replaces.
func (ca *MemCA) Ordered() (n int, replaces string) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if n = len(ca.Replaced); n > 0 {
		replaces = ca.Replaced[n-1]
	}
	return n, replaces
}

// RenewalInfo implements attempt.CA.
func (ca *MemCA) RenewalInfo(_ context.Context, _ *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	if ca.Info == nil {
		return start, end, "", again, errors.ErrUnsupported
	}
	if err := ca.called("info"); err != nil {
		return start, end, "", again, err
	}
	start, end, again = ca.Info(certID)
	return start, end, "", again, nil
}

// Sign returns the chain of a new certificate as PEM.
func (ca *MemCA) Sign(names []string, pub crypto.PublicKey) []byte {
	ca.Serial++
	leaf := &x509.Certificate{SerialNumber: big.NewInt(ca.Serial), AuthorityKeyId: ca.Cert.SubjectKeyId, DNSNames: names, NotBefore: ca.Now().Add(-time.Minute), NotAfter: ca.Now().Add(ca.Lifetime)}
	if ca.Wrong != nil {
		ca.Wrong(leaf)
	}
	signer, key := ca.Cert, ca.Key
	if ca.Mid != nil {
		signer, key = ca.Mid, ca.MidKey
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, signer, pub, key)
	if err != nil {
		panic(err)
	}
	return append(PemOf(der), PemOf(signer.Raw)...)
}

// PemOf encodes a certificate.
func PemOf(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }

// SignBy makes the CA sign with an intermediate that ends at a time. An intermediate with
// the same key replaces the previous one in chains sent before.
func (ca *MemCA) SignBy(t testing.TB, end time.Time, sameKey bool) *x509.Certificate {
	t.Helper()
	if ca.MidKey == nil || !sameKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ca.MidKey = key
	}
	ca.Serial++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.Serial), SubjectKeyId: []byte("test intermediate"), Subject: pkix.Name{CommonName: "test intermediate"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: ca.Cert.NotBefore, NotAfter: end, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.Cert, ca.MidKey.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.Mid, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return ca.Mid
}

// Revoke implements attempt.CA.
func (ca *MemCA) Revoke(_ context.Context, _ *spec.Issuer, _ []byte, reason uint) error {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	ca.Revoked = append(ca.Revoked, reason)
	return ca.called("revoke")
}

// MemLedger is a branch in memory. Race runs once, between an edit and its push.
type MemLedger struct {
	Mu       sync.Mutex
	Tree     fstest.MapFS
	Messages []string
	Race     func(tree fstest.MapFS)
	Err      error
}

// NewMemLedger returns a ledger without a commit.
func NewMemLedger() *MemLedger { return &MemLedger{Tree: fstest.MapFS{}} }

// Snapshot implements ledger.Ledger.
func (l *MemLedger) Snapshot(context.Context) (fs.FS, string, error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	return maps.Clone(l.Tree), fmt.Sprint(len(l.Messages)), l.Err
}

// Commit implements ledger.Ledger.
func (l *MemLedger) Commit(_ context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (string, error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	if l.Err != nil {
		return "", l.Err
	}
	for {
		files, err := edit(maps.Clone(l.Tree))
		if err != nil {
			return "", err
		}
		if race := l.Race; race != nil {
			l.Race = nil
			race(l.Tree)
			continue
		}
		changed := false
		for name, b := range files {
			if old := l.Tree[name]; old == nil || string(old.Data) != string(b) {
				changed = true
				l.Tree[name] = &fstest.MapFile{Data: b}
			}
		}
		if !changed {
			return "", nil
		}
		l.Messages = append(l.Messages, message)
		return fmt.Sprintf("%040d", len(l.Messages)), nil
	}
}

// Events returns all events of the branch, oldest first.
func (l *MemLedger) Events(t testing.TB) []ledger.Event {
	t.Helper()
	l.Mu.Lock()
	defer l.Mu.Unlock()
	files, err := archive.AuditFiles(l.Tree)
	if err != nil {
		t.Fatal(err)
	}
	var events []ledger.Event
	for _, f := range files {
		for line := range strings.Lines(string(l.Tree[f].Data)) {
			var e ledger.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
	}
	return events
}

// Record returns a record of the branch.
func (l *MemLedger) Record(t testing.TB, name string) *ledger.Record {
	t.Helper()
	l.Mu.Lock()
	defer l.Mu.Unlock()
	f := l.Tree[ledger.RecordFile(name)]
	if f == nil {
		t.Fatalf("the ledger has no record of %q", name)
	}
	r, err := ledger.UnmarshalRecord(f.Data)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// MemJournal is a journal in memory.
type MemJournal struct {
	mu    sync.Mutex
	Lines [][]byte
}

// Append implements ledger.Journal.
func (j *MemJournal) Append(line []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.Lines = append(j.Lines, slices.Clone(line))
	return nil
}

// Entries implements ledger.Journal.
func (j *MemJournal) Entries() ([][]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.Lines), nil
}

// Ack implements ledger.Journal.
func (j *MemJournal) Ack(n int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n > len(j.Lines) {
		return errors.New("acknowledged more than there is")
	}
	j.Lines = j.Lines[n:]
	return nil
}

// World is the set of fakes with a clock that tests set.
type World struct {
	T       testing.TB
	At      time.Time
	Vault   *MemVault
	Ca      *MemCA
	Ledger  *MemLedger
	Journal *MemJournal
	Desired *spec.Spec
	Opts    attempt.Options
}

// Start is when a World begins.
var Start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// NewWorld returns a world with an empty Vault and an empty ledger.
func NewWorld(t testing.TB, certificates ...*spec.Certificate) *World {
	w := &World{T: t, At: Start, Vault: NewMemVault(), Ledger: NewMemLedger(), Journal: &MemJournal{}}
	w.Ca = NewMemCA(t, func() time.Time { return w.At })
	w.Desired = Desire(certificates...)
	w.Opts = attempt.Options{Now: func() time.Time { return w.At }, Patience: []time.Duration{}}
	return w
}

// Desire returns a spec with one issuer and one DNS account.
func Desire(certificates ...*spec.Certificate) *spec.Spec {
	return &spec.Spec{
		Issuers:      map[string]*spec.Issuer{"ca": {Name: "ca", Directory: "https://ca.example/dir"}},
		DNS:          map[string]*spec.DNSAccount{"lab": {Name: "lab", Challenge: spec.DNS01}},
		Certificates: certificates,
	}
}

// Certificate returns a certificate with automatic renewal.
func Certificate(name string, names ...string) *spec.Certificate {
	c := &spec.Certificate{
		Name: name, Issuer: "ca", DNS: []string{"lab"}, Renewal: spec.Renewal{Auto: true, ThresholdDays: 30},
		Key: spec.Key{Rotation: spec.RotateAlways}, Vault: spec.Target{Mount: "secret", Path: "tls/" + name}, OnRemove: spec.Keep, File: "certs.hcl",
	}
	for _, n := range names {
		c.Domains = append(c.Domains, spec.Domain{Typed: n, ASCII: n})
	}
	return c
}

// Reconciler returns a new process on the same world.
func (w *World) Reconciler() *apply.Reconciler {
	return apply.New(&observe.Observer{Metadata: w.Vault, StateMount: "secret", StatePrefix: "certroll", Ledger: "a1"}, w.Vault, w.Ca, w.Ledger, w.Journal, w.Opts)
}

// Plan returns the plan of a new process.
func (w *World) Plan() []plan.Action {
	w.T.Helper()
	_, planned := w.Planned()
	return planned.Actions
}

// Planned returns a new process and its plan.
func (w *World) Planned() (*apply.Reconciler, plan.Plan) {
	w.T.Helper()
	r := w.Reconciler()
	obs, err := r.Observe(context.Background(), w.Desired)
	if err != nil {
		w.T.Fatal(err)
	}
	return r, plan.New(w.Desired, obs, w.At)
}

// Apply plans and applies in a new process.
func (w *World) Apply(ctx context.Context) (*apply.Report, error) {
	w.T.Helper()
	r, planned := w.Planned()
	return r.Apply(ctx, w.Desired, ledger.Revision{Commit: "c0ffee", Author: "A. Owner <owner@example.com>"}, planned)
}

// Settle applies and requires that nothing fails.
func (w *World) Settle() *apply.Report {
	w.T.Helper()
	report, err := w.Apply(context.Background())
	if err != nil {
		w.T.Fatal(err)
	}
	for _, r := range report.Results {
		if r.Err != nil {
			w.T.Fatalf("%s: %v", r.Action.Certificate, r.Err)
		}
	}
	return report
}

// Only returns the only action of the plan.
func (w *World) Only() plan.Action {
	w.T.Helper()
	actions := w.Plan()
	if len(actions) != 1 {
		w.T.Fatalf("the plan has %d actions, want 1: %+v", len(actions), actions)
	}
	return actions[0]
}

// SecretPair returns the pair as a consumer reads it.
func (w *World) SecretPair(path string) keypair.Pair {
	w.T.Helper()
	data, _, err := w.Vault.Read(context.Background(), "secret", path)
	if err != nil {
		w.T.Fatal(err)
	}
	p, err := keypair.FindIn(data)
	if err != nil {
		w.T.Fatal(err)
	}
	return p
}
