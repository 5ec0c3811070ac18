//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/examples/lab"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// measured runs certroll and reports its resource use in addition to the wall time.
func (w *world) measured(b *testing.B, args ...string) string {
	b.Helper()
	cmd := w.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	ended, peak := make(chan struct{}), make(chan float64, 1)
	go func() { peak <- peakUntil(ended, cmd.Process.Pid) }()
	err := cmd.Wait()
	close(ended)
	if err != nil {
		b.Fatalf("certroll %s: %v\n%s", strings.Join(args, " "), err, &out)
	}
	b.ReportMetric(<-peak, "peak-MB")
	b.ReportMetric((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), "cpu-s")
	return out.String()
}

// peakUntil returns the peak memory of a process in MB. The kernel forgets it with the
// process, so it is read 50 times a second; see peak for why rusage is no substitute.
func peakUntil(ended <-chan struct{}, pid int) (megabytes float64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			if bytes, err := peakIn(string(text)); err == nil {
				megabytes = float64(bytes) / (1 << 20)
			}
		}
		select {
		case <-ended:
			return megabytes
		case <-tick.C:
		}
	}
}

// BenchmarkPlan plans many certificates with nothing to do: the cost of a CI job for each pull request.
func BenchmarkPlan(b *testing.B) {
	program := build(b)
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLab(b)
			l.program = program
			w := l.fresh(b, manyFiles(n))
			k := &killer{}
			w.vaultAddr = k.proxy(b, w.vault.Addr, "").URL
			w.settings("")
			w.haveIssued(b, n)
			for b.Loop() {
				k.arm(0, false)
				if out := w.measured(b, "plan"); !strings.Contains(out, "Nothing to do.") {
					b.Fatalf("plan:\n%s", out[:min(len(out), 2000)])
				}
			}
			b.ReportMetric(float64(k.count), "vault-calls")
		})
	}
}

func benchName(i int) string { return fmt.Sprintf("c%05d", i) }

func benchNames(i int) []string {
	return []string{benchName(i) + ".lab.test", "www." + benchName(i) + ".lab.test"}
}

// manyFiles declares n certificates of two names, a hundred per file.
func manyFiles(n int) map[string]string {
	files := map[string]string{}
	for i := range n {
		name := fmt.Sprintf("teams/t%03d.hcl", i/100)
		files[name] += fmt.Sprintf("certificate %q {\n  domains = [%q, %q]\n  issuer  = issuer.pebble\n  dns     = dns.lab\n}\n",
			benchName(i), benchNames(i)[0], benchNames(i)[1])
	}
	return files
}

// haveIssued writes the state that n issued certificates leave in Vault and the ledger.
func (w *world) haveIssued(b *testing.B, n int) {
	b.Helper()
	at := time.Now().UTC().Truncate(time.Second)
	files := map[string]string{}
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		r := w.issuedRecord(i, at)
		text, err := ledger.MarshalRecord(r)
		if err != nil {
			b.Fatal(err)
		}
		files["certificates/"+r.Certificate+".json"] = string(text)
		g.Go(func() error { return w.haveSecret(r) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	if err := lab.Push(b.Context(), w.repo, "certroll/status", files, "What was issued"); err != nil {
		b.Fatal(err)
	}
}

func (w *world) issuedRecord(i int, at time.Time) *ledger.Record {
	names := benchNames(i)
	sorted := slices.Sorted(slices.Values(names))
	digest := sha256.Sum256([]byte(strings.Join(sorted, "\n")))
	renew := at.Add(60 * 24 * time.Hour)
	return &ledger.Record{
		Schema: ledger.RecordSchema, Certificate: benchName(i), State: ledger.StateLive, Names: names, File: fmt.Sprintf("teams/t%03d.hcl", i/100),
		OnRemove: spec.Keep, RenewAt: &renew, UpdatedAt: at,
		Live: &ledger.Live{
			Serial: fmt.Sprintf("%016x", i+1), NotBefore: at, NotAfter: at.Add(90 * 24 * time.Hour), Names: names, NamesDigest: hex.EncodeToString(digest[:]),
			KeyDigest: hex.EncodeToString(digest[:]), KeyShape: "ecdsa-P-256", KeySince: at, Issuer: "pebble", Directory: w.directory,
			Mount: "secret", Path: "tls/" + benchName(i), Version: 1, IssuedAt: at,
		},
	}
}

func (w *world) haveSecret(r *ledger.Record) error {
	l := r.Live
	path := "/" + l.Path
	data := map[string]any{"data": map[string]string{"certificate": "c", "private_key": "k"}}
	if err := w.vault.API(w.t.Context(), http.MethodPost, "secret/data"+path, data, nil); err != nil {
		return err
	}
	stamp := func(t time.Time) string { return t.Format(time.RFC3339) }
	custom := map[string]string{
		"managed_by": "certroll", "certificate": r.Certificate, "version": "1", "serial": l.Serial, "not_before": stamp(l.NotBefore),
		"not_after": stamp(l.NotAfter), "names_digest": l.NamesDigest, "key_digest": l.KeyDigest, "key_shape": l.KeyShape, "key_since": stamp(l.KeySince),
		"issuer": l.Issuer, "directory": l.Directory, "issued_at": stamp(l.IssuedAt),
	}
	return w.vault.API(w.t.Context(), http.MethodPost, "secret/metadata"+path, map[string]any{"custom_metadata": custom}, nil)
}

// BenchmarkIssue issues 200 certificates of two names against Pebble without its sleeps. A proxy in front of the CA
// counts the orders; its cost is part of the result.
func BenchmarkIssue(b *testing.B) {
	const n = 200
	l := newLab(b)
	l.program = build(b)
	k := &killer{}
	front := k.proxy(b, strings.TrimSuffix(l.directory, "/dir"), l.caBundle)
	l.directory, l.caBundle = front.URL+"/dir", pemOf(front.Certificate())
	for b.Loop() {
		b.StopTimer()
		w := l.fresh(b, manyFiles(n))
		for i := range n { // of the previous iteration
			if err := w.vault.API(b.Context(), http.MethodDelete, "secret/metadata/tls/"+benchName(i), nil, nil); err != nil {
				b.Fatal(err)
			}
		}
		w.settings("")
		k.orders = 0
		b.StartTimer()
		w.measured(b, "apply", "-auto-approve")
		b.StopTimer()
		if k.orders != n {
			b.Fatalf("%d orders for %d certificates", k.orders, n)
		}
		w.checkPair("tls/"+benchName(n-1), benchNames(n-1)...)
		b.StartTimer()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "certificates/s")
}

// buildLego builds lego's command line in its own module, because it has dependencies that certroll lacks.
func buildLego(b *testing.B, dir string) {
	b.Helper()
	module := "module bench\n\ngo 1.26\n\nrequire github.com/go-acme/lego/v4 v4.35.2\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(module), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), "go", "build", "-mod=mod", "-o", "lego", "github.com/go-acme/lego/v4/cmd/lego")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("building lego: %v\n%s", err, out)
	}
}

// BenchmarkIssueLego does the work of BenchmarkIssue with lego's command line, one certificate after another. An
// iteration is one certificate of two names.
func BenchmarkIssueLego(b *testing.B) {
	l := newLab(b)
	dir := b.TempDir()
	buildLego(b, dir)
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, []byte(l.caBundle), 0o600); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		names := benchNames(i)
		i++
		cmd := exec.CommandContext(b.Context(), filepath.Join(dir, "lego"), "--server", l.directory, "--accept-tos", "--email", "ops@example.com",
			"--path", filepath.Join(dir, "state"), "--dns", "rfc2136", "--dns.resolvers", l.dns.Addr, "--dns.propagation-disable-ans",
			"--domains", names[0], "--domains", names[1], "run")
		cmd.Env = append(os.Environ(), "LEGO_CA_CERTIFICATES="+ca, "RFC2136_NAMESERVER="+l.dns.Addr, "RFC2136_TSIG_KEY="+l.dns.KeyName,
			"RFC2136_TSIG_SECRET="+l.dns.Secret, "RFC2136_TSIG_ALGORITHM="+l.dns.Algorithm, "RFC2136_TTL=1", "RFC2136_SEQUENCE_INTERVAL=1") // lego waits a minute between two names by default
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("lego: %v\n%s", err, out)
		}
	}
}
