package gitsync

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"certroll/examples/lab"
	"certroll/gitsync/fault"
	"certroll/gitsync/remote"
)

// soon is the longest time that an operation may take to end after its context has ended.
const soon = 30 * time.Second

// endsWith runs do, cancels its context once ready reports that do is in progress, and asserts that do returns within
// soon with the context's error.
func endsWith(t *testing.T, ready func() bool, do func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	eventually(t, "the remote is asked", ready)
	select {
	case err := <-done:
		t.Fatalf("it ended before it was interrupted: %v", err)
	default:
	}
	cancel()
	select {
	case err := <-done:
		failure(t, err, fault.Stopped, "it was interrupted")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the cause is lost: %v", err)
		}
	case <-time.After(soon):
		t.Fatal("it goes on after its context ended")
	}
}

// silent accepts connections and never sends a byte; count is the number of connections.
func silent(t *testing.T, network, address string) (addr string, count *atomic.Int32) {
	t.Helper()
	l, err := net.Listen(network, address)
	must(t, err)
	count = &atomic.Int32{}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			go func() {
				_, _ = io.Copy(io.Discard, conn) // until the client disconnects
				_ = conn.Close()
			}()
		}
	}()
	return l.Addr().String(), count
}

// operations are the calls that can hang.
func operations(t *testing.T, p place) map[string]func(ctx context.Context) error {
	t.Helper()
	s, l := p.source(t, SourceOptions{}), p.ledger(t, LedgerOptions{})
	return map[string]func(ctx context.Context) error{
		"fetch": func(ctx context.Context) error {
			_, err := s.Fetch(ctx)
			return err
		},
		"snapshot": func(ctx context.Context) error {
			_, _, err := l.Snapshot(ctx)
			return err
		},
		"commit": func(ctx context.Context) error {
			_, err := l.Commit(ctx, "m", write(map[string]string{"a": "x"}))
			return err
		},
	}
}

func TestCancelSilentServer(t *testing.T) {
	for _, scheme := range []string{"http", "https", "ssh"} {
		addr, count := silent(t, "tcp", "127.0.0.1:0")
		p := place{url: scheme + "://" + addr + "/repo.git", auth: remote.Auth{SSHKeyFile: newKey(t)}}
		for name, do := range operations(t, p) {
			t.Run(scheme+" "+name, func(t *testing.T) {
				before := count.Load()
				endsWith(t, func() bool { return count.Load() > before }, do)
			})
		}
	}
}

func TestCancelSilentAgent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "agent")
	_, asked := silent(t, "unix", socket)
	t.Setenv("SSH_AUTH_SOCK", socket)
	host := sshSigner(t, newKey(t))
	addr := handshaker(t, nil, host)
	p := place{url: "ssh://git@" + addr + "/repo.git", auth: remote.Auth{KnownHostsFile: knowHost(t, addr, host.PublicKey())}}
	for name, do := range operations(t, p) {
		t.Run(name, func(t *testing.T) {
			before := asked.Load()
			endsWith(t, func() bool { return asked.Load() > before }, do)
		})
	}
}

// TestCancelSilentSession: an SSH server accepts the login and never opens the session.
func TestCancelSilentSession(t *testing.T) {
	var in atomic.Int32
	host := sshSigner(t, newKey(t))
	addr := handshaker(t, func(net.Conn) { in.Add(1) }, host)
	p := place{url: "ssh://git@" + addr + "/repo.git", auth: remote.Auth{SSHKeyFile: newKey(t), KnownHostsFile: knowHost(t, addr, host.PublicKey())}}
	for name, do := range operations(t, p) {
		t.Run(name, func(t *testing.T) {
			before := in.Load()
			endsWith(t, func() bool { return in.Load() > before }, do)
		})
	}
}

// TestServerHangsUp: an SSH server accepts the login and closes the connection.
func TestServerHangsUp(t *testing.T) {
	host := sshSigner(t, newKey(t))
	addr := handshaker(t, func(conn net.Conn) { _ = conn.Close() }, host)
	p := place{url: "ssh://git@" + addr + "/repo.git", auth: remote.Auth{SSHKeyFile: newKey(t), KnownHostsFile: knowHost(t, addr, host.PublicKey())}}
	for name, do := range operations(t, p) {
		t.Run(name, func(t *testing.T) { failure(t, do(t.Context()), fault.Unreachable) })
	}
}

// TestCancelUnrulyServer: a malformed message makes the goroutines of x/crypto's connection wait for each other, so
// that neither the session nor the connection ends. Canceling must still return.
func TestCancelUnrulyServer(t *testing.T) {
	var said atomic.Int32
	host := sshSigner(t, newKey(t))
	addr := sshServer(t, func(_ net.Conn, chans <-chan ssh.NewChannel, _ <-chan *ssh.Request) {
		for asked := range chans {
			ch, requests, err := asked.Accept()
			if err != nil {
				return
			}
			_ = (<-requests).Reply(true, nil)
			_, _ = ch.SendRequest("exit-status", false, []byte{0}) // a valid one has four bytes
			for range 100 {
				_, _ = ch.SendRequest("noise", false, nil)
			}
			said.Add(1)
		}
	}, host)
	p := place{url: "ssh://git@" + addr + "/repo.git", auth: remote.Auth{SSHKeyFile: newKey(t), KnownHostsFile: knowHost(t, addr, host.PublicKey())}}
	for name, do := range operations(t, p) {
		t.Run(name, func(t *testing.T) {
			before := said.Load()
			endsWith(t, func() bool { return said.Load() > before }, do)
		})
	}
}

// TestCancelSurvivor: the program is a script whose child outlives it and keeps both pipes open.
func TestCancelSurvivor(t *testing.T) {
	dir := t.TempDir()
	hold, started := filepath.Join(dir, "hold"), filepath.Join(dir, "started")
	must(t, syscall.Mkfifo(hold, 0o600))
	pipe, err := os.OpenFile(hold, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { _ = pipe.Close() }) // ends the child
	script := "#!/bin/sh\ntouch " + started + "\ncat " + hold + " 2>/dev/null\nexit 1\n"
	must(t, lab.WriteProgram(filepath.Join(dir, "git"), []byte(script)))
	l := local(t).ledger(t, LedgerOptions{})
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	endsWith(t, func() bool { _, err := os.Stat(started); return err == nil }, func(ctx context.Context) error {
		_, _, err := l.Snapshot(ctx)
		return err
	})
}

// TestCancelWaiting: a call that waits for another operation waits no longer than its own context.
func TestCancelWaiting(t *testing.T) {
	addr, asked := silent(t, "tcp", "127.0.0.1:0")
	p := place{url: "http://" + addr + "/repo.git"}
	s, l := p.source(t, SourceOptions{}), p.ledger(t, LedgerOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	var hung sync.WaitGroup
	hung.Go(func() { _, _ = s.Fetch(ctx) })
	hung.Go(func() { _, _, _ = l.Snapshot(ctx) })
	defer hung.Wait()
	defer cancel()
	eventually(t, "both are asked", func() bool { return asked.Load() == 2 })
	if _, _, ok := l.Rewound(); ok { // Rewound does not wait at all
		t.Error("a ledger that was never seen is rewound")
	}
	impatient, stop := context.WithCancel(t.Context())
	stop()
	for name, do := range map[string]func() error{
		"fetch":    func() error { _, err := s.Fetch(impatient); return err },
		"follows":  func() error { return s.Follows(impatient, &Revision{}, strings.Repeat("1", 40)) },
		"snapshot": func() error { _, _, err := l.Snapshot(impatient); return err },
		"commit":   func() error { _, err := l.Commit(impatient, "m", write(map[string]string{"a": "x"})); return err },
		"walk":     func() error { return l.Walk(impatient, nil) },
		"descends": func() error { _, err := l.Descends(impatient, strings.Repeat("1", 40)); return err },
	} {
		done := make(chan error, 1)
		go func() { done <- do() }()
		select {
		case err := <-done:
			failure(t, err, fault.Stopped, "it was interrupted")
		case <-time.After(soon):
			t.Errorf("%s waits for the other", name)
		}
	}
}

// TestCancelPush: a hook of the remote never ends.
func TestCancelPush(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		// The hook blocks on a pipe that has no writer and stays open until the test ends.
		hold := filepath.Join(p.path, "hold")
		must(t, syscall.Mkfifo(hold, 0o600))
		pipe, err := os.OpenFile(hold, os.O_RDWR, 0)
		must(t, err)
		t.Cleanup(func() { _ = pipe.Close() })
		p.hook(t, "pre-receive", "touch started\nread x < hold\nexit 1\n")
		l := p.ledger(t, LedgerOptions{})
		endsWith(t, func() bool { _, err := os.Stat(filepath.Join(p.path, "started")); return err == nil },
			func(ctx context.Context) error {
				_, err := l.Commit(ctx, "m", write(map[string]string{"a": "x"}))
				return err
			})
		_, err = pipe.WriteString("go\n")
		must(t, err)
		must(t, removeHook(p))
		commit(t, l, write(map[string]string{"a": "x"}))
	})
}

// halfway answers a fetch with half of the real answer, then calls rest.
func halfway(p *proxy, rest func(w http.ResponseWriter, r *http.Request)) {
	p.set(func(w http.ResponseWriter, r *http.Request, pass func()) {
		if !strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			pass()
			return
		}
		whole := httptest.NewRecorder()
		p.origin.ServeHTTP(whole, r)
		w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		w.(http.Flusher).Flush()
		rest(w, r)
	})
}

// noHalves asserts that no part of an incomplete pack is left.
func noHalves(t *testing.T, cache string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(cache, "*", "*", "objects", "pack", "tmp*"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCancelDownload(t *testing.T) {
	p := newProxy(t)
	p.push(t, "main", map[string]string{"a.hcl": secret() + strings.Repeat(secret(), 200)})
	o := SourceOptions{CacheDir: t.TempDir()}
	s := p.source(t, o)
	var sent atomic.Int32
	halfway(p, func(_ http.ResponseWriter, r *http.Request) {
		sent.Add(1)
		<-r.Context().Done()
	})
	endsWith(t, func() bool { return sent.Load() > 0 }, func(ctx context.Context) error {
		_, err := s.Fetch(ctx)
		return err
	})
	noHalves(t, o.CacheDir)
	p.set(nil)
	if rev := fetch(t, s); len(rev.Files) != 1 {
		t.Errorf("got %s", contents(rev))
	}
}

// TestBrokenDownload: a connection that breaks in the middle of a pack leaves nothing behind, and the next fetch
// succeeds.
func TestBrokenDownload(t *testing.T) {
	p := newProxy(t)
	p.push(t, "main", map[string]string{"a.hcl": strings.Repeat(secret(), 200)})
	p.push(t, "certroll/status", map[string]string{"log": strings.Repeat(secret(), 200)})
	cache := t.TempDir()
	s, l := p.source(t, SourceOptions{CacheDir: cache, Ref: "main"}), p.ledger(t, LedgerOptions{CacheDir: cache})
	halfway(p, func(w http.ResponseWriter, _ *http.Request) { hangUp(w) })
	_, err := s.Fetch(t.Context())
	failure(t, err, fault.Unreachable, "fetching main from")
	_, _, err = l.Snapshot(t.Context())
	failure(t, err, fault.Unreachable, "fetching the ledger certroll/status at")
	noHalves(t, cache)
	p.set(nil)
	fetch(t, s)
	snapshot(t, l)
	// The same with a cache that already has objects.
	p.push(t, "main", map[string]string{"b.hcl": strings.Repeat(secret(), 200)})
	p.push(t, "certroll/status", map[string]string{"more": strings.Repeat(secret(), 200)})
	halfway(p, func(w http.ResponseWriter, _ *http.Request) { hangUp(w) })
	_, err = s.Fetch(t.Context())
	failure(t, err, fault.Unreachable)
	_, _, err = l.Snapshot(t.Context())
	failure(t, err, fault.Unreachable)
	p.set(nil)
	if rev := fetch(t, s); len(rev.Files) != 2 {
		t.Errorf("got %s", contents(rev))
	}
	commit(t, l, appendLine("x", "y"))
	if _, _, ok := l.Rewound(); ok {
		t.Error("a broken connection counts as a rewind")
	}
	noHalves(t, cache)
}

func TestTimeout(t *testing.T) {
	addr, _ := silent(t, "tcp", "127.0.0.1:0")
	p := place{url: "http://" + addr + "/repo.git"}
	_, err := p.source(t, SourceOptions{Timeout: 50 * time.Millisecond}).Fetch(t.Context())
	failure(t, err, fault.Stopped, "it took longer than allowed")
	_, err = p.ledger(t, LedgerOptions{Timeout: 50 * time.Millisecond}).Commit(t.Context(), "m", write(map[string]string{"a": "x"}))
	failure(t, err, fault.Stopped, "it took longer than allowed")
}

// TestLedgerAnswerTooLate: after a push whose response takes too long, the ledger looks for the commit on the remote
// before it retries.
func TestLedgerAnswerTooLate(t *testing.T) {
	t.Parallel() // waits as long as the ledger's other requests may take
	p := newProxy(t)
	l := p.ledger(t, LedgerOptions{Timeout: 10 * time.Second})
	commit(t, l, appendLine("log", "zero"))
	p.set(func(_ http.ResponseWriter, r *http.Request, pass func()) {
		if !strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
			pass()
			return
		}
		client := r.Context()
		passQuietly(p, r.WithContext(context.WithoutCancel(client)))
		<-client.Done()
	})
	h := commit(t, l, appendLine("log", "one"))
	if got := p.git(t, "rev-parse", "certroll/status"); got != h {
		t.Errorf("the branch is at %s, Commit said %s", got, h)
	}
	if got := p.git(t, "rev-list", "--count", "certroll/status"); got != "2" {
		t.Errorf("there are %s commits", got)
	}
}

// sshSigner reads a key that newKey wrote.
func sshSigner(t testing.TB, file string) ssh.Signer {
	t.Helper()
	signer, err := remote.ReadKey(remote.Auth{SSHKeyFile: file})
	must(t, err)
	return signer
}
