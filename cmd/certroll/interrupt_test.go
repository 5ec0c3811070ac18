package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"certroll/cmd/certroll/console"
)

// slowly returns a DNS account that waits for the given time.
func (w *world) slowly(wait string) string {
	return fmt.Sprintf(`
dns "slow" {
  provider = "rfc2136"
  credentials = {
    RFC2136_NAMESERVER     = %q
    RFC2136_TSIG_KEY       = %q
    RFC2136_TSIG_ALGORITHM = %q
    RFC2136_TSIG_SECRET    = env("CERTROLL_DNS_TSIG_SECRET")
  }
  propagation {
    wait = %q
  }
}`, w.nameserver.addr, w.nameserver.key, w.nameserver.algorithm, wait)
}

// TestInterrupt: Ctrl-C while a certificate waits for DNS removes its challenge record, and the next run finishes the
// same order.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	k := &killer{}
	front := k.proxy(t, strings.TrimSuffix(l.directory, "/dir"), l.caBundle)
	l.directory, l.caBundle = front.URL+"/dir", pemOf(front.Certificate())
	w := l.fresh(t, map[string]string{"certs.hcl": strings.Replace(oneCertificate, "dns.lab", "dns.slow", 1)})
	w.settings(w.slowly("10m"))

	cmd := w.command("apply", "-auto-approve")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(w.dns.Challenges()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no challenge record came about")
		}
		time.Sleep(10 * time.Millisecond) // polls another process
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("it ended with %v:\n%s", err, out.String())
	}
	if left := w.dns.Challenges(); len(left) > 0 {
		t.Errorf("challenge records are left: %v", left)
	}
	if !strings.Contains(out.String(), "1 left to the next run") {
		t.Errorf("it says\n%s", out.String())
	}

	w.settings(w.slowly("1ms"))
	w.certroll(0, "apply", "-auto-approve")
	w.checkPair("tls/api", "api.lab.test")
	if k.orders != 1 {
		t.Errorf("%d orders, want 1", k.orders)
	}
	if e := w.events(); len(e) != 1 || e[0].Status != "success" {
		t.Errorf("events: %+v", e)
	}
}

// TestSecondSignal: a second Ctrl-C ends certroll where it blocks without a context, for example on reading a pipe.
func TestSecondSignal(t *testing.T) {
	program, err := exec.LookPath("certroll") // installed by testscript
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "certroll.hcl")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "validate", "-config", pipe)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns once certroll reads
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(30 * time.Second); ; {
		select {
		case <-ended:
			return
		case <-tick.C:
			// If certroll did not handle the first signal yet, this one counts as the first. SIGTERM has the same
			// handler as Ctrl-C, which is ignored when the tests run in the background.
			_ = cmd.Process.Signal(syscall.SIGTERM)
		case <-timeout:
			_ = cmd.Process.Kill()
			t.Fatal("it goes on, however often it is told to end")
		}
	}
}

// TestInterruptedQuestion: Ctrl-C at a question counts as no.
func TestInterruptedQuestion(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	answer := make(chan error, 1)
	go func() { answer <- (&app{Console: console.Console{In: in, Out: io.Discard}}).approve(ctx, nil) }()
	select {
	case err := <-answer:
		if err == nil {
			t.Error("it was taken for yes")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the question is still open")
	}
}

// TestQuestionToNobody: without a terminal and without input, the error names the flag to set. Input from a pipe still
// counts as an answer.
func TestQuestionToNobody(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, tc := range map[string]struct {
		in       io.Reader
		terminal bool
		want     error
	}{
		"/dev/null":           {in: null, want: errNobodyToAsk},
		"a pipe that is over": {in: strings.NewReader(""), want: errNobodyToAsk},
		"Ctrl-D":              {in: strings.NewReader(""), terminal: true, want: console.ExitCode(console.ExitError)},
		"a pipe that says no": {in: strings.NewReader("no\n"), want: console.ExitCode(console.ExitError)},
		"yes by a pipe":       {in: strings.NewReader("yes\n")},
		"yes without an end":  {in: strings.NewReader("yes"), terminal: true},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			if err := (&app{Console: console.Console{In: tc.in, Out: &out, AtTerminal: tc.terminal}}).approve(t.Context(), nil); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if asked := strings.Contains(out.String(), "Type yes"); asked == (tc.in == null) {
				t.Errorf("it printed %q", out.String())
			}
		})
	}
}
