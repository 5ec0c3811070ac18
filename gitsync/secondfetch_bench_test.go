//go:build linux

package gitsync

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// importing feeds git fast-import in the bare repository.
func (p place) importing(b *testing.B, parts ...io.Reader) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), "git", "-C", p.path, "fast-import", "--quiet")
	cmd.Stdin = io.MultiReader(parts...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git fast-import: %v\n%s", err, out)
	}
}

// commitLine returns a fast-import commit that sets a.hcl; more precedes the file command.
func commitLine(n int, more string) string {
	text := fmt.Sprintf("# %d", n)
	return fmt.Sprintf("commit refs/heads/main\ncommitter Lab <lab@example.com> %d +0000\ndata 1\nx\n%sM 100644 inline a.hcl\ndata %d\n%s\n", 1_700_000_000+n, more, len(text), text)
}

// resident returns the resident memory of this process in MB.
func resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must(b, err)
	var kB float64
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rest, &kB)
	must(b, err)
	return kB / 1e3
}

// BenchmarkSecondFetch fetches a change of one line from an incompressible repository of 300 MB. It reports the bytes
// on the wire, and the memory after the first and the last fetch.
func BenchmarkSecondFetch(b *testing.B) {
	const size = 300_000_000
	p := transports["http"](b)
	p.importing(b, strings.NewReader(strings.TrimSuffix(commitLine(0, fmt.Sprintf("M 100644 inline image.bin\ndata %d\n", size)), "M 100644 inline a.hcl\ndata 3\n# 0\n")),
		io.LimitReader(rand.NewChaCha8([32]byte{1}), size), strings.NewReader("\nM 100644 inline a.hcl\ndata 3\n# 0\n"))
	address := strings.Split(strings.TrimPrefix(p.url, "http://"), "/")[0]
	gate := newToll(b, address)
	p.url = strings.Replace(p.url, address, gate.Addr().String(), 1)
	s := p.source(b, SourceOptions{})
	fetch(b, s)
	if first := gate.down.Load(); first < size {
		b.Fatalf("the first fetch had %d bytes: that is not all", first)
	}
	received, n, before := gate.down.Load(), 0, resident(b)
	for b.Loop() {
		n++
		b.StopTimer()
		p.importing(b, strings.NewReader(commitLine(n, "from refs/heads/main^0\n")))
		b.StartTimer()
		if got := contents(fetch(b, s)); got != fmt.Sprintf("a.hcl=# %d", n) {
			b.Fatalf("got %s", got)
		}
	}
	b.ReportMetric(float64(gate.down.Load()-received)/float64(n), "received-B/op")
	b.ReportMetric(before, "first-MB")
	b.ReportMetric(resident(b), "last-MB")
}
