package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/reconcile/ledger"
)

// world is a set of real servers on loopback: Pebble, DNS, Vault and a bare repository.
type world struct {
	t      testing.TB
	dir    string
	vault  *lab.Vault
	pebble *lab.Pebble
	root   string // PEM of the root of issued chains; "": Pebble's
	dns    *lab.DNS
	repo   string // path of the bare repository
	// program is the path of certroll. By default it is this test binary, which has the race detector; tests with
	// hundreds of starts use another build.
	program string

	// The addresses that certroll uses; a test may put a proxy in between.
	vaultAddr, directory, caBundle, repoURL string

	token      string // certroll's token for Vault
	prefix     string // prefix of certroll's own state in Vault
	nameserver nameserver
	repoMore   string               // additional settings in the repo block
	env        []string             // additional environment variables of certroll
	attr       *syscall.SysProcAttr // attributes of its process; nil: the default

	said, tmp  string // directories of a copy of its output and of its temporary files
	keysSought int    // number of keys that the search looked for
}

// nameserver is the server for certroll's DNS updates.
type nameserver struct{ addr, key, secret, algorithm string }

const zone = "lab.test"

// newLab starts the servers that many worlds can share.
func newLab(t testing.TB) *world { return newLabWith(t, lab.PebbleOptions{}) }

// newLabWith is newLab with Pebble's options.
func newLabWith(t testing.TB, o lab.PebbleOptions) *world {
	w := newLabWithoutCA(t)
	o.DNS = w.dns.Addr
	w.pebble = labtest.Pebble(t, o)
	w.directory, w.caBundle = w.pebble.Directory, w.pebble.CABundle
	return w
}

// newLabWithoutCA is newLab for a test that starts its own CA.
func newLabWithoutCA(t testing.TB) *world {
	dns := labtest.DNS(t, zone)
	installDNS(t, "certroll")
	w := &world{t: t, program: "certroll", prefix: "certroll", vault: labtest.Vault(t), dns: dns}
	w.vaultAddr, w.env = w.vault.Addr, []string{patienceVariable + "=50ms 100ms"}
	w.token, w.nameserver = w.vault.Token, nameserver{dns.Addr, dns.KeyName, dns.Secret, dns.Algorithm}
	return w
}

// installDNS puts certroll-dns next to a certroll, where certroll looks for it.
func installDNS(t testing.TB, program string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	err = os.Symlink(labtest.DNSProgram(t), filepath.Join(filepath.Dir(path), "certroll-dns"))
	if err != nil && !errors.Is(err, fs.ErrExist) { // another test has installed it
		t.Fatal(err)
	}
}

// fresh returns a world with a new directory and repository on the same servers.
func (w world) fresh(t testing.TB, files map[string]string) *world {
	t.Helper()
	w.t, w.dir = t, t.TempDir()
	repo, err := lab.CreateBare(w.dir, "certs.git")
	if err != nil {
		t.Fatal(err)
	}
	w.repo, w.repoURL = repo, repo
	w.watchForSecrets()
	w.push(files, "Declare certificates")
	return &w
}

func (w *world) push(files map[string]string, message string) {
	w.t.Helper()
	if err := lab.Push(w.t.Context(), w.repo, "main", files, message); err != nil {
		w.t.Fatal(err)
	}
}

// settings writes certroll.hcl and appends more. Unless more says otherwise, certroll serves nothing, because many
// worlds run concurrently.
func (w *world) settings(more string) {
	w.t.Helper()
	if !strings.Contains(more, "listen") {
		more += "\nlisten = \"\"\n"
	}
	text := fmt.Sprintf(`
state_dir = %q
repo {
  url = %q
  ref = "main"
  %s
}
vault {
  address = %q
  prefix  = %q
}
trust {
  env   = ["CERTROLL_DNS_"]
  vault = ["secret/dns/"]
}
issuer "pebble" {
  directory               = %q
  email                   = "ops@example.com"
  terms_of_service_agreed = true
  ca_bundle               = <<-PEM
%s
  PEM
}
dns "lab" {
  provider = "rfc2136"
  credentials = {
    RFC2136_NAMESERVER     = %q
    RFC2136_TSIG_KEY       = %q
    RFC2136_TSIG_ALGORITHM = %q
    RFC2136_TSIG_SECRET    = env("CERTROLL_DNS_TSIG_SECRET")
    RFC2136_TTL            = "1"
  }
  propagation {
    nameservers = [%q]
  }
}
%s
`, filepath.Join(w.dir, "state"), w.repoURL, w.repoMore, w.vaultAddr, w.prefix, w.directory, w.caBundle,
		w.nameserver.addr, w.nameserver.key, w.nameserver.algorithm, w.nameserver.addr, more)
	if err := os.WriteFile(filepath.Join(w.dir, "certroll.hcl"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// command returns certroll's command in the world's directory, as a user would run it.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), w.program, args...)
	cmd.Dir, cmd.SysProcAttr = w.dir, w.attr
	cmd.Env = append(append(os.Environ(), "VAULT_TOKEN="+w.token, "CERTROLL_DNS_TSIG_SECRET="+w.nameserver.secret, "HOME="+w.dir,
		"TMPDIR="+w.tmp, teeVariable+"="+w.said), w.env...)
	return cmd
}

// certroll runs certroll and requires an exit code.
func (w *world) certroll(code int, args ...string) string {
	w.t.Helper()
	cmd := w.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("certroll %s: exit code %d (%v), want %d\n%s", strings.Join(args, " "), got, err, code, out.String())
	}
	w.noSecrets(out.String())
	return out.String()
}

// noSecrets fails if an output contains a credential or a private key.
func (w *world) noSecrets(out string) {
	w.t.Helper()
	for what, secret := range map[string]string{"Vault token": w.token, "TSIG secret": w.nameserver.secret, "private key": "PRIVATE KEY-----"} {
		if secret != "" && strings.Contains(out, secret) {
			w.t.Errorf("the output holds a %s:\n%s", what, out)
		}
	}
}

type kvMetadata struct {
	Data struct {
		CurrentVersion int               `json:"current_version"`
		Custom         map[string]string `json:"custom_metadata"`
	} `json:"data"`
}

func (w *world) metadata(path string) kvMetadata {
	w.t.Helper()
	var m kvMetadata
	if err := w.vault.API(w.t.Context(), http.MethodGet, "secret/metadata/"+path, nil, &m); err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) secret(path string) map[string]string {
	w.t.Helper()
	var s struct {
		Data struct {
			Data map[string]string `json:"data"`
		} `json:"data"`
	}
	if err := w.vault.API(w.t.Context(), http.MethodGet, "secret/data/"+path, nil, &s); err != nil {
		w.t.Fatal(err)
	}
	return s.Data.Data
}

// roots returns the root certificates of the world's CA.
func (w *world) roots() string {
	w.t.Helper()
	if w.root != "" {
		return w.root
	}
	roots, err := w.pebble.Roots(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return roots
}

// checkPair checks what a consumer reads, independently of certroll's code: the key matches, the chain verifies to the
// CA's root, and the names are the requested ones.
func (w *world) checkPair(path string, names ...string) *x509.Certificate {
	w.t.Helper()
	s := w.secret(path)
	cert, err := tls.X509KeyPair([]byte(s["fullchain"]), []byte(s["private_key"]))
	if err != nil {
		w.t.Fatalf("%s: the key does not fit: %v", path, err)
	}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(w.roots()))
	between.AppendCertsFromPEM([]byte(s["chain"]))
	for _, name := range names {
		opts := x509.VerifyOptions{Roots: pool, Intermediates: between, DNSName: strings.Replace(name, "*.", "any.", 1)}
		if net.ParseIP(name) != nil {
			opts.DNSName = "[" + name + "]"
		}
		if _, err := cert.Leaf.Verify(opts); err != nil {
			w.t.Errorf("%s: %s: %v", path, name, err)
		}
	}
	if got := len(cert.Leaf.DNSNames) + len(cert.Leaf.IPAddresses); got != len(names) {
		w.t.Errorf("%s: the certificate has %d names, want %d", path, got, len(names))
	}
	return cert.Leaf
}

// ledgerFile reads a file of the ledger branch.
func (w *world) ledgerFile(path string) string {
	w.t.Helper()
	b, err := lab.Show(w.t.Context(), w.repo, "certroll/status", path)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	out, err := lab.Git(w.t.Context(), w.repo, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

type auditEvent struct {
	ID, Operation, Certificate, Status, Class, Message, Prev, Reason, Actor, Revision string
	Detail, Revoked                                                                   string
	Owner                                                                             string `json:"owner"`
	OldSerial                                                                         string `json:"old_serial"`
	OldRevision                                                                       string `json:"old_revision"`
	NewSerial                                                                         string `json:"new_serial"`
	DNSAccount                                                                        string `json:"dns_account"`
}

// events returns this month's events in the ledger. It omits the event that a new machine writes before its first
// order; another test covers that one.
func (w *world) events() []auditEvent {
	w.t.Helper()
	month := time.Now().UTC().Format("audit/2006/01.jsonl")
	if w.git("ls-tree", "--name-only", "certroll/status", month) == "" {
		return nil
	}
	var events []auditEvent
	for line := range strings.Lines(w.ledgerFile(month)) {
		var e auditEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatal(err)
		}
		if e.Reason != string(ledger.ReasonAttempt) {
			events = append(events, e)
		}
	}
	return events
}

func pemOf(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}
