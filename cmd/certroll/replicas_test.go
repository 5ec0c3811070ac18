package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shortLease is long enough to be renewed in time, which is done every five
// seconds.
const shortLease = 10 * time.Second

// TestReplicas: what becomes of an order where the one at work is no more, or
// comes back when another has taken over.
func TestReplicas(t *testing.T) {
	sideBySide(t, map[string]func(*testing.T, *world){
		"killed": takesOver, "stopped": comesBackLate, "apply beside run": saysWhoHolds,
	})
}

// replica is a world in which one daemon is at work: it has made the order and
// asks for the certificate, which it does not get before answer is closed.
func replica(t *testing.T, l *world, name string) (w *world, f *front, reached <-chan struct{}, answer chan struct{}) {
	w, f = l.faulty(t, declare("", name))
	w.env = append(w.env, leaseVariable+"="+shortLease.String())
	w.editSettings(func(text string) string { return text + "\ninterval = \"1s\"\n" })
	comes, goOn := make(chan struct{}), make(chan struct{})
	f.breaks(before(finalization, func() { close(comes); <-goOn }))
	return w, f, comes, goOn
}

// takesOver: the one that holds the lease is killed with SIGKILL in the middle
// of an order. The other one finishes that order, within the lease's time.
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
	w.until("the certificate", twoOut, func() bool { return w.told("issue", "success") == 1 })
	// The lease's time, the clocks' skew, the moment to ask again, and the work.
	if took := time.Since(killed); took > shortLease+20*time.Second {
		t.Errorf("it took over after %s", took)
	}
	w.stopRun(two, twoOut)
	w.once(f, "heir")
}

// comesBackLate: the one that holds the lease is stopped, as a machine that is
// suspended, and goes on when the other one has done its work. It writes
// nothing more of what it was at.
func comesBackLate(t *testing.T, l *world) {
	w, f, reached, answer := replica(t, l, "late")
	one, oneOut := w.started("run")
	await(t, reached, oneOut)
	if err := one.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	close(answer) // to one that cannot hear it
	two, twoOut := w.another("run")
	w.until("the certificate", twoOut, func() bool { return w.told("issue", "success") == 1 })
	if err := one.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// It is itself again when it follows the repository.
	w.push(declare("", "late", "later"), "Declare another")
	w.until("another certificate", twoOut, func() bool { return w.told("issue", "success") == 2 })
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

// saysWhoHolds: an apply beside a daemon at work ends by saying who that is.
func saysWhoHolds(t *testing.T, l *world) {
	w, f, reached, answer := replica(t, l, "busy")
	one, oneOut := w.started("run")
	await(t, reached, oneOut)
	two, twoOut := w.another("apply", "-auto-approve")
	if err := two.Wait(); err == nil || two.ProcessState.ExitCode() != exitError {
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
	w.until("the certificate", oneOut, func() bool { return w.told("issue", "success") == 1 })
	w.stopRun(one, oneOut)
	w.once(f, "busy")
}
