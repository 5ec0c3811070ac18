package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// TestMain lets the test binary act as a DNS child that crashes.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "crashing-child":
		fmt.Fprintln(os.Stderr, "about to fail on purpose, with", os.Getenv("DNSUPDATE_TSIG_SECRET"))
		os.Exit(3)
	default:
		os.Exit(m.Run())
	}
}

// memory is an in-memory Store with check-and-set.
type memory struct {
	mu      sync.Mutex
	docs    map[string]map[string]string
	creates int
	fail    error
}

func newMemory() *memory { return &memory{docs: map[string]map[string]string{}} }

func (m *memory) Load(_ context.Context, id string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	if doc, ok := m.docs[id]; ok {
		return maps.Clone(doc), nil
	}
	return nil, fmt.Errorf("document %s: %w", id, fs.ErrNotExist)
}

// SetCommand returns a stand-in for the command line of a store.
func (m *memory) SetCommand(id, field, _ string) string { return "set " + field + " of " + id }

func (m *memory) List(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.docs)), m.fail
}

func (m *memory) Create(_ context.Context, id string, data map[string]string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	m.creates++
	if _, ok := m.docs[id]; !ok {
		m.docs[id] = maps.Clone(data)
	}
	return maps.Clone(m.docs[id]), nil
}

func (m *memory) Update(_ context.Context, id string, data map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if _, ok := m.docs[id]; !ok {
		return errors.New("no such document")
	}
	m.docs[id] = maps.Clone(data)
	return nil
}

// only returns the only document of the store.
func (m *memory) only(t testing.TB) map[string]string {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.docs) != 1 {
		t.Fatalf("the store has %d documents, want 1", len(m.docs))
	}
	for _, doc := range m.docs {
		return doc
	}
	return nil
}

// rig is a CA, a name server and a client's options for both.
type rig struct {
	t      testing.TB
	dns    *lab.DNS
	ca     *lab.Pebble
	store  *memory
	issuer *spec.Issuer
	opts   Options
	log    *reports
}

func newRig(t testing.TB, o lab.PebbleOptions) *rig {
	t.Helper()
	r := &rig{t: t, store: newMemory(), log: &reports{}}
	r.dns = nameServer(t, "lab.test", "other.test")
	o.DNS = r.dns.Addr
	r.ca = labtest.Pebble(t, o)
	r.issuer = &spec.Issuer{Name: "lab", Reach: spec.Reach{Anything: true}, Directory: r.ca.Directory, Email: "ops@example.com", AgreeTOS: true, CABundle: r.ca.CABundle}
	r.opts = Options{PresentRetry: []time.Duration{10 * time.Millisecond, 20 * time.Millisecond}, Resolve: fromTable(nil)}
	return r
}

// command returns the command of a real DNS child.
func command(t testing.TB) []string { return []string{labtest.DNSProgram(t)} }

// nameServer starts the lab's name server on a free port. Another process may take the
// port before the server binds it: see listen.
func nameServer(t testing.TB, zones ...string) *lab.DNS {
	t.Helper()
	var server *lab.DNS
	var err error
	for range 5 {
		if server, err = lab.StartDNS(t.Context(), lab.DNSOptions{Zones: zones}); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// fromTable resolves literals, and references by their variable's name.
func fromTable(table map[string]string) func(context.Context, spec.Value) (string, error) {
	return func(_ context.Context, v spec.Value) (string, error) {
		if v.Source == spec.Literal {
			return v.Text, nil
		}
		if text, ok := table[v.Name]; ok {
			return text, nil
		}
		return "", fmt.Errorf("there is no %s", v.Name)
	}
}

// secrets sets the secrets that the rig's accounts may reference by name.
func (r *rig) secrets(table map[string]string) { r.opts.Resolve = fromTable(table) }

func (r *rig) client() *Client {
	r.t.Helper()
	if r.opts.Child == nil {
		r.opts.Child = command(r.t)
	}
	c := New(r.store, r.opts)
	r.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			r.t.Errorf("closing the client: %v", err)
		}
	})
	return c
}

func literal(text string) spec.Value { return spec.Value{Source: spec.Literal, Text: text} }
func secret(name string) spec.Value  { return spec.Value{Source: spec.FromEnv, Name: name} }

// nameserver holds what an rfc2136 account needs to reach a server.
type nameserver struct{ addr, key, secret, algorithm string }

func (r *rig) server() nameserver {
	return nameserver{r.dns.Addr, r.dns.KeyName, r.dns.Secret, r.dns.Algorithm}
}

// account returns an rfc2136 account for a server, with a record TTL of one second.
func account(name string, s nameserver) *spec.DNSAccount {
	return &spec.DNSAccount{
		Reach: spec.Reach{Anything: true},
		Name:  name, Challenge: spec.DNS01, Provider: "rfc2136", FollowCNAME: true, Parallel: 4,
		Credentials: map[string]spec.Value{
			"DNSUPDATE_NAMESERVER": literal(s.addr), "DNSUPDATE_TSIG_KEY": literal(s.key), "DNSUPDATE_TSIG_ALGORITHM": literal(s.algorithm),
			"DNSUPDATE_TSIG_SECRET": literal(s.secret), "DNSUPDATE_TTL": literal("1"), "DNSUPDATE_DNS_TIMEOUT": literal("10"),
		},
		Propagation: spec.Propagation{Nameservers: []string{s.addr}, Timeout: time.Minute, Interval: 100 * time.Millisecond},
	}
}

// reports collects the reports of Finish in order.
type reports struct {
	mu    sync.Mutex
	lines []string
	on    func(step, detail string)
}

func (r *reports) add(step, detail string) {
	r.mu.Lock()
	r.lines = append(r.lines, step+": "+detail)
	on := r.on
	r.mu.Unlock()
	if on != nil {
		on(step, detail)
	}
}

func (r *reports) has(part string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.lines, func(l string) bool { return strings.Contains(l, part) })
}

func (r *reports) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// request returns a new key and a certificate request for it.
func request(t testing.TB, names ...string) (crypto.Signer, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return key, csr
}

func (r *rig) order(c *Client, names ...string) string {
	r.t.Helper()
	url, _, err := c.Order(r.t.Context(), r.issuer, names, "")
	if err != nil {
		r.t.Fatalf("Order: %v", err)
	}
	return url
}

// issue orders and finishes a certificate and returns its leaf and account.
func (r *rig) issue(c *Client, accounts []*spec.DNSAccount, names ...string) (*x509.Certificate, string) {
	r.t.Helper()
	key, csr := request(r.t, names...)
	chain, account, _, err := c.Finish(r.t.Context(), r.issuer, r.order(c, names...), csr, accounts, r.log.add)
	if err != nil {
		r.t.Fatalf("Finish: %v\nreports:\n%s", err, r.log)
	}
	return r.verify(chain, key, names...), account
}

// verify checks the chain as a consumer of the certificate would.
func (r *rig) verify(chain []byte, key crypto.Signer, names ...string) *x509.Certificate {
	r.t.Helper()
	certs, err := parseChain(chain)
	if err != nil {
		r.t.Fatal(err)
	}
	rootPEM, err := r.ca.Roots(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(rootPEM))
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	for _, name := range names {
		if _, err := certs[0].Verify(x509.VerifyOptions{DNSName: strings.Replace(name, "*", "any", 1), Roots: roots, Intermediates: between}); err != nil {
			r.t.Errorf("the certificate does not verify for %s: %v", name, err)
		}
	}
	if !certs[0].PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
		r.t.Error("the certificate has another key than the request")
	}
	return certs[0]
}

// clean checks that no challenge record is left.
func (r *rig) clean() {
	r.t.Helper()
	if left := r.dns.Challenges(); len(left) > 0 {
		r.t.Errorf("TXT records are left at %v", left)
	}
}

// fails checks an error's type, its class and whether the order is gone.
func fails(t testing.TB, err error, class ledger.Class, gone bool) *problem.Error {
	t.Helper()
	var e *problem.Error
	if !errors.As(err, &e) {
		t.Fatalf("got the error %v of type %T, want an *Error of class %s", err, err, class)
	}
	if ledger.Class(e.Class()) != class || e.OrderGone() != gone {
		t.Errorf("got class %s and order gone %v, want %s and %v\nerror: %v", e.Class(), e.OrderGone(), class, gone, e)
	}
	return e
}

func random(t testing.TB) string {
	t.Helper()
	b := make([]byte, 24)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return "fake-" + hex.EncodeToString(b)
}

// eventually polls for a condition that another process fulfills.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s did not come about within a minute", what)
}
