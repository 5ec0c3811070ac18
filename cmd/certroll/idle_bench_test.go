//go:build linux

package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/state"
	"certroll/examples/lab/labtest"
)

// benchSizes are the numbers of certificates in the benchmarks.
var benchSizes = []int{1_000, 10_000, 100_000}

// BenchmarkIdleRun lets `certroll run` pull every second while nothing changes, with a Vault and a repository over
// HTTP. An iteration is one pass and the wait for it; the other figures show its cost. start-s is the time to the end
// of the first pass, which checks every secret.
func BenchmarkIdleRun(b *testing.B) {
	program := build(b)
	for _, n := range benchSizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLab(b)
			l.program = program
			server := labtest.GitHTTP(b)
			w := l.on(b, server.Path("certs"), server.URL("certs"), must(server.Create("certs")))
			w.repoMore, w.env = httpAuth(server), append(w.env, "CERTROLL_GIT_TOKEN="+server.Token)
			m := &idleMeter{b: b}
			w.vaultAddr = m.vault.proxy(b, w.vault.Addr, "").URL
			host, path, _ := strings.Cut(strings.TrimPrefix(w.repoURL, "http://"), "/")
			w.repoURL = m.git.proxy(b, "http://"+host, "").URL + "/" + path
			w.push(manyFiles(n), "Declare them")
			w.settings("interval = \"1s\"")
			w.haveIssued(b, n)
			w.haveExamined(b)

			began := time.Now()
			cmd, out := w.startRun()
			defer w.stopRun(cmd, out)
			m.pid = cmd.Process.Pid
			m.await(2, out) // the second pass begins when the first has ended
			start := time.Since(began)
			from := m.read()
			for passes := from.passes; b.Loop(); {
				passes = m.await(passes+1, out)
			}
			to := m.read()
			b.ReportMetric(start.Seconds(), "start-s")
			per := func(used float64, unit string) { b.ReportMetric(used/float64(to.passes-from.passes), unit) }
			per(float64(to.vault-from.vault), "vault-calls/pass")
			per(float64(to.git-from.git), "git-calls/pass")
			per((to.cpu - from.cpu).Seconds(), "cpu-s/pass")
			b.ReportMetric(m.peak(), "peak-MB")
		})
	}
}

// haveExamined postpones the daily examination to tomorrow.
func (w *world) haveExamined(b *testing.B) {
	b.Helper()
	dir := filepath.Join(w.dir, "state")
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = state.Moments{Path: filepath.Join(dir, "moments.json"), Log: slog.New(slog.DiscardHandler)}.Save(map[string]time.Time{"daily": time.Now().Add(24 * time.Hour)})
	}
	if err != nil {
		b.Fatal(err)
	}
}

// idleMeter counts the requests and the resource use of a running certroll.
type idleMeter struct {
	b          *testing.B
	vault, git killer
	pid        int
}

type idleReading struct {
	passes, vault, git int
	cpu                time.Duration
}

// read counts each pass by its list of pending secrets.
func (m *idleMeter) read() (r idleReading) {
	m.vault.mu.Lock()
	for _, request := range m.vault.log {
		if strings.HasSuffix(request, "/metadata/certroll/pending") {
			r.passes++
		}
	}
	r.vault = len(m.vault.log)
	m.vault.mu.Unlock()
	m.git.mu.Lock()
	r.git = len(m.git.log)
	m.git.mu.Unlock()
	stat := strings.Fields(m.proc("stat"))
	for _, field := range stat[13:15] { // utime and stime, in hundredths of a second
		var ticks int
		if _, err := fmt.Sscan(field, &ticks); err != nil {
			m.b.Fatal(err)
		}
		r.cpu += time.Duration(ticks) * 10 * time.Millisecond
	}
	return r
}

// await waits until that many passes have begun.
func (m *idleMeter) await(passes int, out *output) int {
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(50 * time.Millisecond) { // polls another process
		if n := m.read().passes; n >= passes {
			return n
		}
		if time.Now().After(deadline) {
			m.b.Fatalf("no pass comes:\n%s", out)
		}
	}
}

// peak returns the peak memory in MB.
func (m *idleMeter) peak() float64 {
	m.b.Helper()
	return float64(peak(m.b, m.pid)) / (1 << 20)
}

func (m *idleMeter) proc(name string) string {
	m.b.Helper()
	return proc(m.b, m.pid, name)
}
