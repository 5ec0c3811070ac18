package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"certroll/cmd/certroll/console"
)

// shortLease leaves time for its renewal, every five seconds.
const shortLease = 10 * time.Second

// TestReplicas: an order survives the loss of the replica that created it, and a replica that returns after a takeover
// does no harm.
func TestReplicas(t *testing.T) {
	sideBySide(t, map[string]func(*testing.T, *world){
		"killed": takesOver, "stopped": comesBackLate, "apply beside run": saysWhoHolds,
		"cut off from Vault": cutOff,
	})
}

// replica returns a world in which one daemon has created an order and requests the certificate. The CA delays the
// response until answer is closed.
func replica(t *testing.T, l *world, name string) (w *world, f *front, reached <-chan struct{}, answer chan struct{}) {
	w, f = l.faulty(t, declare("", name))
	w.env = append(w.env, leaseVariable+"="+shortLease.String())
	w.editSettings(func(text string) string { return text + "\ninterval = \"1s\"\n" })
	comes, goOn := make(chan struct{}), make(chan struct{})
	f.breaks(before(finalization, func() { close(comes); <-goOn }))
	return w, f, comes, goOn
}

// takesOver: the lease's holder is killed with SIGKILL in the middle of an order. The other replica finishes that order
// within the lease's lifetime.
func takesOver(t *testing.T, l *world) {
	w, f, reached, answer := replica(t, l, "heir")
	one, oneOut := w.started("run")
	await(t, reached, oneOut)
	two, twoOut := w.another("run", "-log-level", "debug")
	w.until("that the other waits", twoOut, func() bool { return strings.Contains(twoOut.String(), "waiting for ") })
	if err := one.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = one.Wait() // it was killed
	close(answer)
	w.until("the certificate", twoOut, func() bool { return w.countEvents("issue", "success") == 1 })
	// The lease's lifetime, the clock skew, the retry interval, and the work itself.
	if took := time.Since(killed); took > shortLease+20*time.Second {
		t.Errorf("it took over after %s", took)
	}
	w.stopRun(two, twoOut)
	w.once(f, "heir")
}

// comesBackLate: the lease's holder is stopped, like a suspended machine, and resumes after the other replica has done
// its work. It writes nothing of its old attempt.
func comesBackLate(t *testing.T, l *world) {
	w, f, reached, answer := replica(t, l, "late")
	one, oneOut := w.started("run")
	await(t, reached, oneOut)
	if err := one.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	close(answer) // the holder is stopped and cannot receive it
	two, twoOut := w.another("run")
	w.until("the certificate", twoOut, func() bool { return w.countEvents("issue", "success") == 1 })
	if err := one.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// The first replica has recovered when it follows the repository again.
	w.push(declare("", "late", "later"), "Declare another")
	w.until("another certificate", twoOut, func() bool { return w.countEvents("issue", "success") == 2 })
	head := w.git("rev-parse", "main")
	w.until("that the first one knows it too", oneOut, func() bool { return strings.Contains(oneOut.String(), head) })
	w.stopRun(one, oneOut)
	w.stopRun(two, twoOut)
	w.once(f, "late", "later")
	if said := oneOut.String(); strings.Contains(said, "msg=action certificate=late ") && !strings.Contains(said, "status=success") {
		t.Errorf("the one that came back failed:\n%s", said)
	}
	w.certroll(0, "audit", "verify", "-anchor")
}

// cutLink is a TCP connection that can be cut without either side noticing. Data sent in the meantime arrives late.
type cutLink struct {
	addr string

	mu     sync.Mutex
	mended *sync.Cond
	cut    bool
	closed bool
}

func newCutLink(t *testing.T, to string) *cutLink {
	t.Helper()
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &cutLink{addr: in.Addr().String()}
	l.mended = sync.NewCond(&l.mu)
	t.Cleanup(func() {
		_ = in.Close()
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		l.mended.Broadcast()
	})
	go func() {
		for {
			one, err := in.Accept()
			if err != nil {
				return
			}
			go l.serve(one, to)
		}
	}()
	return l
}

// serve joins two connections until one of them ends.
func (l *cutLink) serve(one net.Conn, to string) {
	l.pass()
	other, err := net.Dial("tcp", to)
	if err != nil {
		_ = one.Close()
		return
	}
	hand := func(from, to net.Conn) {
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			l.pass()
			if n > 0 {
				if _, writeErr := to.Write(b[:n]); writeErr != nil {
					err = writeErr
				}
			}
			if err != nil {
				_, _ = one.Close(), other.Close()
				return
			}
		}
	}
	go hand(one, other)
	hand(other, one)
}

// pass blocks while the link is cut.
func (l *cutLink) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.cut && !l.closed {
		l.mended.Wait()
	}
}

func (l *cutLink) set(cut bool) {
	l.mu.Lock()
	l.cut = cut
	l.mu.Unlock()
	l.mended.Broadcast()
}

// cutOff: the holder's link to Vault is cut after it has created all of its orders, for longer than its lease. The
// other replica finishes the same orders. The holder's delayed requests reach Vault and do no harm.
func cutOff(t *testing.T, l *world) {
	link := newCutLink(t, strings.TrimPrefix(l.vault.Addr, "http://"))
	here := *l
	here.vaultAddr = "http://" + link.addr
	names := []string{"cut1", "cut2", "cut3"} // as many as may try a CA before its first success
	w, f := here.faulty(t, declare("", names...))
	w.env = append(w.env, leaseVariable+"="+shortLease.String())
	w.editSettings(func(text string) string { return text + "\ninterval = \"1s\"\n" })
	var asked atomic.Int32
	reached, answer := make(chan struct{}), make(chan struct{})
	f.breaks(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, finalization) {
			if asked.Add(1) == int32(len(names)) {
				link.set(true)
				close(reached)
			}
			<-answer
		}
		return false
	})
	one, oneOut := w.started("run")
	await(t, reached, oneOut)
	w.editSettings(func(text string) string {
		return strings.Replace(text, link.addr, strings.TrimPrefix(l.vault.Addr, "http://"), 1)
	})
	two, twoOut := w.another("run")
	close(answer) // the cut replica can store nothing of the response
	w.until("the certificates", twoOut, func() bool { return w.countEvents("issue", "success") == len(names) })
	link.set(false)
	all := append(names, "cut4")
	w.push(declare("", all...), "Declare another")
	w.until("another certificate", twoOut, func() bool { return w.countEvents("issue", "success") == len(all) })
	head := w.git("rev-parse", "main")
	w.until("that the first one knows it too", oneOut, func() bool { return strings.Contains(oneOut.String(), head) })
	w.stopRun(one, oneOut)
	w.stopRun(two, twoOut)
	w.once(f, all...)
	w.certroll(0, "audit", "verify", "-anchor")
}

// saysWhoHolds: an apply next to a working daemon ends with an error that names the daemon.
func saysWhoHolds(t *testing.T, l *world) {
	w, f, reached, answer := replica(t, l, "busy")
	one, oneOut := w.started("run")
	await(t, reached, oneOut)
	two, twoOut := w.another("apply", "-auto-approve")
	if err := two.Wait(); err == nil || two.ProcessState.ExitCode() != console.ExitError {
		t.Errorf("it ended with %v:\n%s", err, twoOut)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("taking the lease: %s pid %d holds it until 20", host, one.Process.Pid); !strings.Contains(twoOut.String(), want) {
		t.Errorf("it does not say %q:\n%s", want, twoOut)
	}
	close(answer)
	w.until("the certificate", oneOut, func() bool { return w.countEvents("issue", "success") == 1 })
	w.stopRun(one, oneOut)
	w.once(f, "busy")
}
