package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/examples/lab/labtest"
)

// killer is a proxy between certroll and its servers. It kills certroll with SIGKILL at the n-th request: before it
// forwards the request, or after forwarding and before the response.
type killer struct {
	mu      sync.Mutex
	at      int  // 0: never
	after   bool // after forwarding the request
	count   int
	log     []string
	only    func(*http.Request) bool // which requests count; nil: all
	process *os.Process
	orders  int // orders that the CA created in all runs
}

// arm prepares a new run.
func (k *killer) arm(at int, after bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at, k.after, k.count, k.process, k.log = at, after, 0, nil, nil
}

func (k *killer) watch(p *os.Process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.process = p
}

// due records a request and reports whether it is the one to kill at.
func (k *killer) due(req *http.Request) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log = append(k.log, req.Method+" "+req.URL.Path)
	if k.only != nil && !k.only(req) {
		return false
	}
	k.count++
	return k.count == k.at
}

func (k *killer) kill() {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		k.mu.Lock()
		p := k.process
		k.mu.Unlock()
		if p != nil {
			_ = p.Kill()
			return
		}
		time.Sleep(time.Millisecond) // until Start has set the process
	}
}

// proxy starts a reverse proxy to a server, over TLS if the server has it.
func (k *killer) proxy(t testing.TB, target string, rootPEM string) *httptest.Server {
	t.Helper()
	rp := reverse(t, target, rootPEM, func(resp *http.Response) error {
		if madeOrder(resp) {
			k.mu.Lock()
			k.orders++
			k.mu.Unlock()
		}
		return nil
	})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if !k.due(req) {
			rp.ServeHTTP(rw, req)
			return
		}
		if k.after {
			rp.ServeHTTP(httptest.NewRecorder(), req)
		}
		k.kill()
		_, _ = io.Copy(io.Discard, req.Body)
		<-req.Context().Done()
	}))
	if rootPEM != "" {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// reverse forwards requests to a server, over TLS if rootPEM is not empty. edit sees the responses.
func reverse(t testing.TB, target, rootPEM string, edit func(*http.Response) error) http.Handler {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if rootPEM != "" {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(rootPEM))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &httputil.ReverseProxy{
		// The Host stays, because an ACME server builds its URLs from it.
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		Transport:      transport,
		ModifyResponse: edit,
	}
}

// madeOrder reports whether the response is Pebble's for a new order.
func madeOrder(resp *http.Response) bool {
	return resp.Request.Method == http.MethodPost && strings.HasSuffix(resp.Request.URL.Path, newOrder) && resp.StatusCode == http.StatusCreated
}

// failedOrder reports whether the CA itself failed over an order.
func failedOrder(resp *http.Response) bool {
	return resp.Request.Method == http.MethodPost && strings.HasSuffix(resp.Request.URL.Path, newOrder) && resp.StatusCode == http.StatusInternalServerError
}

// run starts certroll behind the killer and waits until it ends.
func (k *killer) run(w *world, at int, after bool, args ...string) (killed bool, out string) {
	w.t.Helper()
	k.arm(at, after)
	cmd := w.command(args...)
	var buf bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &buf
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	k.watch(cmd.Process)
	err := cmd.Wait()
	exit, failed := err.(*exec.ExitError)
	if failed && exit.ExitCode() != -1 {
		w.t.Fatalf("certroll was not killed but failed: %v\n%s", err, buf.String())
	}
	w.noSecrets(buf.String())
	return failed, buf.String()
}

// TestKillAtEveryStep kills certroll with SIGKILL at each request for one certificate, before and after forwarding it,
// with the local disk kept and lost. The next run must reach the same final state. Without a real Vault each request is
// tested once, alternately before and after it.
func TestKillAtEveryStep(t *testing.T) {
	for when, after := range map[string]bool{"before": false, "after": true} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			lab := newLab(t)
			lab.program = build(t)
			k := &killer{}
			k.stand(t, lab)
			for n, done := 1, false; !done && !t.Failed(); n++ {
				if n > 200 {
					t.Fatal("it makes no end of requests")
				}
				if labtest.Only() && (n%2 == 0) != after {
					continue // skips half of the cases: each request still has one of the two
				}
				t.Run(fmt.Sprintf("k%d", n), func(t *testing.T) {
					done = !killOnce(t, lab, k, fmt.Sprintf("k%d-%s", n, when), "", n, after)
				})
			}
		})
	}
}

// TestKillWhileStaging does the same at each write that involves the next key: the live pair, its metadata, and the
// staged key.
func TestKillWhileStaging(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.program = build(t)
	k := &killer{only: func(req *http.Request) bool {
		staging := strings.Contains(req.URL.Path, "/pending/next/") || strings.Contains(req.URL.Path, "/tls/")
		return staging && req.Method != http.MethodGet
	}}
	k.stand(t, lab)
	n := 1
	for ; ; n++ {
		killed := true
		for _, after := range []bool{false, true} {
			name := fmt.Sprintf("n%d-%t", n, after)
			t.Run(name, func(t *testing.T) {
				killed = killOnce(t, lab, k, name, "\n  key { next = true }", n, after) && killed
			})
		}
		if !killed || t.Failed() {
			break
		}
	}
	if n < 6 && !t.Failed() { // the pair, its metadata, and three writes of the staged key
		t.Errorf("only %d requests write", n-1)
	}
}

// TestKillThenRemove: a run is killed during a first issue, and the block is removed before the next run. That run
// deletes the pending key and records it.
func TestKillThenRemove(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	lab.program = build(t)
	k := &killer{only: func(req *http.Request) bool {
		return strings.Contains(req.URL.Path, "/data/") && strings.Contains(req.URL.Path, "/pending/") && req.Method != http.MethodGet
	}}
	k.stand(t, lab)
	w := lab.fresh(t, map[string]string{"certs.hcl": oneCertificate})
	w.settings("")
	if killed, out := k.run(w, 2, true, "apply", "-auto-approve"); !killed {
		t.Fatalf("it was not killed:\n%s", out)
	}
	w.push(map[string]string{"certs.hcl": "# none\n"}, "Remove it")
	w.expireLease()
	if plan := w.certroll(0, "plan"); strings.Contains(plan, "will be retired") {
		t.Errorf("what another may just have begun is to be destroyed:\n%s", plan)
	}
	w.begunLongAgo("api")
	plan := w.certroll(0, "plan")
	if !strings.Contains(plan, "will be retired") {
		t.Errorf("the plan says\n%s", plan)
	}
	w.certroll(0, "apply", "-auto-approve")
	w.noPending()
	if events := w.events(); len(events) != 1 || events[0].Operation != "retire" || events[0].Status != "success" {
		t.Errorf("events %+v", events)
	}
}

// stand puts the killer between certroll and the servers.
func (k *killer) stand(t testing.TB, lab *world) {
	front := k.proxy(t, strings.TrimSuffix(lab.directory, "/dir"), lab.caBundle)
	lab.directory = front.URL + "/dir"
	lab.caBundle = pemOf(front.Certificate())
	lab.vaultAddr = k.proxy(t, lab.vault.Addr, "").URL
}

// build builds certroll without the race detector, because it starts much faster.
func build(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "certroll")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("building certroll: %v\n%s", err, out)
	}
	installDNS(t, program)
	return program
}

// killOnce reports whether certroll was killed. If not, certroll finished before the n-th request.
func killOnce(t *testing.T, lab *world, k *killer, name, more string, n int, after bool) bool {
	host := name + ".lab.test"
	w := lab.fresh(t, map[string]string{"c.hcl": fmt.Sprintf(`
certificate %q {
  domains = [%q]
  issuer  = issuer.pebble
  dns     = dns.lab%s
}`, name, host, more)})
	w.settings("")
	k.orders = 0
	killed, _ := k.run(w, n, after, "apply", "-auto-approve")
	at, first := "", k.log
	if killed {
		at = first[len(first)-1]
	}
	if n%2 == 0 { // like a CI runner without a persistent disk
		if err := os.RemoveAll(w.dir + "/state"); err != nil {
			t.Fatal(err)
		}
	}
	w.expireLease()
	if again, out := k.run(w, 0, false, "apply", "-auto-approve"); again {
		t.Fatalf("killed at %s; the next run was killed too:\n%s", at, out)
	}
	leaf := w.checkPair("tls/"+name, host)
	if more != "" {
		w.checkNextKey(name, leaf)
	}
	if v := w.metadata("tls/" + name).Data.CurrentVersion; v != 1 {
		t.Errorf("killed at %s: the secret is at version %d, want 1", at, v)
	}
	most := 1
	if killed && urlLost(first, after) {
		most = 2 // Let's Encrypt returns the same order for equal names; Pebble creates another
	}
	if k.orders < 1 || k.orders > most {
		t.Errorf("killed at %s: %d orders, want 1", at, k.orders)
	}
	events := w.events()
	if len(events) != 1 || events[0].Operation != "issue" || events[0].Status != "success" {
		t.Errorf("killed at %s: events %+v", at, events)
	}
	if _, out := k.run(w, 0, false, "apply", "-auto-approve"); !strings.Contains(out, "Nothing to do.") {
		t.Errorf("killed at %s: a third run has something to do:\n%s", at, out)
	}
	w.noPending()
	return killed
}

// urlLost reports whether the run ended after the CA created the order and before its URL was in Vault. Only the CA
// knows such an order.
func urlLost(log []string, after bool) bool {
	last := len(log) - 1
	if strings.HasSuffix(log[last], "/order-plz") {
		return after
	}
	return !after && last > 0 && strings.HasSuffix(log[last-1], "/order-plz")
}

// begunLongAgo backdates the pending secret of a certificate.
func (w *world) begunLongAgo(name string) {
	w.t.Helper()
	at, meta := "secret/metadata/"+w.prefix+"/pending/"+name, map[string]any{}
	if err := w.vault.API(w.t.Context(), http.MethodGet, at, nil, &meta); err != nil {
		w.t.Fatal(err)
	}
	custom := meta["data"].(map[string]any)["custom_metadata"].(map[string]any)
	custom["started"] = time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	if err := w.vault.API(w.t.Context(), http.MethodPost, at, map[string]any{"custom_metadata": custom}, nil); err != nil {
		w.t.Fatal(err)
	}
}

// expireLease removes the lease of a killed run, so that the test need not wait for its expiry.
func (w *world) expireLease() {
	w.t.Helper()
	if err := w.vault.API(w.t.Context(), http.MethodDelete, "secret/metadata/"+w.prefix+"/lease", nil, nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) noPending() {
	w.t.Helper()
	var keys struct {
		Data struct{ Keys []string }
	}
	err := w.vault.API(w.t.Context(), "LIST", "secret/metadata/"+w.prefix+"/pending", nil, &keys)
	// Keys staged for a renewal must stay.
	keys.Data.Keys = slices.DeleteFunc(keys.Data.Keys, func(name string) bool { return name == "next/" })
	if err == nil && len(keys.Data.Keys) > 0 {
		w.t.Errorf("pending secrets are left: %v", keys.Data.Keys)
	}
}
