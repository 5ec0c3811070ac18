//go:build linux

package gitsync

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// toll is a proxy that counts the bytes of all requests and responses, headers included.
type toll struct {
	net.Listener
	up, down atomic.Int64
}

// newToll starts a proxy to an address.
func newToll(b testing.TB, to string) *toll {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	p := &toll{Listener: l}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go p.pass(out, in, &p.up)
			go p.pass(in, out, &p.down)
		}
	}()
	return p
}

func (p *toll) pass(to, from net.Conn, count *atomic.Int64) {
	defer to.Close()
	_, _ = io.Copy(to, io.TeeReader(from, counted{count}))
}

type counted struct{ n *atomic.Int64 }

func (c counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// havePast gives a branch a history of n commits, each of which rewrites one of a hundred records. The head has the
// same size for every n.
func havePast(b *testing.B, p place, n int) {
	b.Helper()
	var in bytes.Buffer
	file := func(name, text string) { fmt.Fprintf(&in, "M 100644 inline %s\ndata %d\n%s\n", name, len(text), text) }
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for i := range n {
		message := fmt.Sprintf("renew c%03d: success\n", i%100)
		fmt.Fprintf(&in, "commit refs/heads/certroll/status\ncommitter certroll <certroll@localhost> %d +0000\ndata %d\n%s\n", at+int64(i)*60, len(message), message)
		if i == 0 {
			for c := range 100 {
				file(fmt.Sprintf("certificates/c%03d.json", c), benchRecord(c, 0))
			}
			file("audit/2026/01.jsonl", strings.Repeat(benchLine(0), 1000))
		}
		file(fmt.Sprintf("certificates/c%03d.json", i%100), benchRecord(i%100, i+1))
	}
	cmd := exec.CommandContext(b.Context(), "git", "-C", p.path, "fast-import", "--quiet")
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git fast-import: %v\n%s", err, out)
	}
}

func benchRecord(c, version int) string {
	return fmt.Sprintf("{\n  \"certificate\": \"c%03d\",\n  \"serial\": \"%040x\",\n  \"names\": [%s]\n}\n", c, version, strings.Repeat("\"name.example.com\", ", 50)+`"x"`)
}

func benchLine(n int) string {
	return fmt.Sprintf(`{"schema":1,"id":"%024d","operation":"renew","status":"success","detail":"%s"}`, n, strings.Repeat("x", 400)) + "\n"
}

// BenchmarkPush commits one record and one event over HTTP, on top of a short and of a long history.
func BenchmarkPush(b *testing.B) {
	for _, past := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("after-%d", past), func(b *testing.B) {
			p := transports["http"](b)
			havePast(b, p, past)
			address := strings.Split(strings.TrimPrefix(p.url, "http://"), "/")[0]
			gate := newToll(b, address)
			p.url = strings.Replace(p.url, address, gate.Addr().String(), 1)
			l := p.ledger(b, LedgerOptions{})
			_, _, err := l.Snapshot(b.Context())
			must(b, err)
			first := gate.down.Load()
			sent, received, cpu, n := gate.up.Load(), gate.down.Load(), cpuTime(b), 0
			for b.Loop() {
				n++
				commit(b, l, func(tree fs.FS) (map[string][]byte, error) {
					log, err := fs.ReadFile(tree, "audit/2026/01.jsonl")
					return map[string][]byte{
						"certificates/c042.json": []byte(benchRecord(42, 1_000_000+n)),
						"audit/2026/01.jsonl":    append(log, benchLine(n)...),
					}, err
				})
			}
			b.ReportMetric(float64(first)/1024, "first-KB")
			b.ReportMetric(float64(gate.up.Load()-sent)/float64(n), "sent-B/op")
			b.ReportMetric(float64(gate.down.Load()-received)/float64(n), "received-B/op")
			b.ReportMetric(float64(cpuTime(b)-cpu)/float64(n)/1e6, "cpu-ms/op")
		})
	}
}

// cpuTime returns the CPU time of this process, without the server's git.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
