package lab_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
)

func TestVaultAnswersSealsAndUnseals(t *testing.T) {
	v := labtest.Vault(t)
	ctx := t.Context()
	if err := v.API(ctx, http.MethodPut, "secret/data/a", map[string]any{"data": map[string]string{"k": "v"}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	if err := v.API(ctx, http.MethodGet, "secret/data/a", nil, nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("reading while sealed: got %v, want status 503", err)
	}
	if err := v.Unseal(ctx); err != nil {
		t.Fatal(err)
	}
	var out struct {
		Data struct {
			Data map[string]string `json:"data"`
		} `json:"data"`
	}
	if err := v.API(ctx, http.MethodGet, "secret/data/a", nil, &out); err != nil || out.Data.Data["k"] != "v" {
		t.Errorf("reading after unseal: %v, %v", out, err)
	}
	if home, err := os.UserHomeDir(); err == nil {
		if b, err := os.ReadFile(filepath.Join(home, ".vault-token")); err == nil && string(b) == v.Token {
			t.Error("the root token was left in ~/.vault-token")
		}
	}
}

func TestVaultTokenIsBoundByItsPolicy(t *testing.T) {
	v := labtest.RealVault(t)
	ctx := t.Context()
	if err := v.WritePolicy(ctx, "reader", `path "secret/metadata/*" { capabilities = ["read", "list"] }`); err != nil {
		t.Fatal(err)
	}
	token, err := v.NewToken(ctx, "1h", "reader")
	if err != nil {
		t.Fatal(err)
	}
	limited := *v
	limited.Token = token
	if err := limited.API(ctx, http.MethodPut, "secret/data/a", map[string]any{"data": map[string]string{}}, nil); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("writing with a reader's token: got %v, want status 403", err)
	}
}

func TestPebbleForgetsOnRestart(t *testing.T) {
	p := labtest.Pebble(t, lab.PebbleOptions{Profiles: map[string]uint64{"short": 600}})
	ctx := t.Context()
	before, err := p.Roots(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(before)) {
		t.Fatalf("the root is no PEM certificate: %q", before)
	}
	pid := p.Pid
	if err := p.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	after, err := p.Roots(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if p.Pid == pid || before == after {
		t.Errorf("pid %d then %d, same root: %v; want a new process with a new root", pid, p.Pid, before == after)
	}
}

func TestPauseHoldsConnections(t *testing.T) {
	p := labtest.Pebble(t, lab.PebbleOptions{})
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := p.Roots(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asking a paused CA: got %v, want the deadline", err)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Roots(t.Context()); err != nil {
		t.Errorf("asking a resumed CA: %v", err)
	}
}

// TestCloseEndsTheServer starts and closes each server: when Close returns, the
// process has ended, or the port is free.
func TestCloseEndsTheServer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts every server of the lab; left out under -short")
	}
	ctx := t.Context()
	type closer interface{ Close() error }
	cases := map[string]func() (closer, int, string, error){
		"vault": func() (closer, int, string, error) {
			s, err := lab.StartVault(ctx, lab.VaultOptions{})
			return s, pid(s, err, func() int { return s.Pid }), "", err
		},
		"pebble": func() (closer, int, string, error) {
			s, err := lab.StartPebble(ctx, lab.PebbleOptions{})
			return s, pid(s, err, func() int { return s.Pid }), "", err
		},
		"bind": func() (closer, int, string, error) {
			s, err := lab.StartBIND(ctx, lab.DNSOptions{Zones: []string{"lab.test"}})
			return s, pid(s, err, func() int { return s.Pid }), "", err
		},
		"git over ssh": func() (closer, int, string, error) {
			s, err := lab.StartGitSSH(ctx, t.TempDir())
			return s, pid(s, err, func() int { return s.Pid }), "", err
		},
		"dns": func() (closer, int, string, error) {
			s, err := lab.StartDNS(ctx, lab.DNSOptions{Zones: []string{"lab.test"}})
			if err != nil {
				return nil, 0, "", err
			}
			return s, 0, s.Addr, nil
		},
		"git over http": func() (closer, int, string, error) {
			s, err := lab.StartGitHTTP(ctx, t.TempDir())
			if err != nil {
				return nil, 0, "", err
			}
			return s, 0, strings.TrimSuffix(strings.TrimPrefix(s.URL("x"), "http://"), "/x.git"), nil
		},
	}
	for name, start := range cases {
		t.Run(name, func(t *testing.T) {
			if program := map[string]string{"bind": "named", "git over ssh": "sshd"}[name]; program != "" {
				labtest.Needs(t, program)
			}
			s, pid, addr, err := start()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("closing again: %v", err)
			}
			if pid != 0 {
				if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("process %d is still there: %v", pid, err)
				}
				return
			}
			if conn, err := net.Dial("tcp", addr); err == nil {
				_ = conn.Close()
				t.Errorf("%s still answers", addr)
			}
		})
	}
}

func pid(_ any, err error, of func() int) int {
	if err != nil {
		return 0
	}
	return of()
}

func TestMissingProgramSaysWhatToDo(t *testing.T) {
	t.Setenv(lab.BinEnv, t.TempDir())
	_, err := lab.Find("no-such-program")
	if !errors.Is(err, lab.ErrMissing) || !strings.Contains(err.Error(), "make lab") {
		t.Errorf("got %v, want ErrMissing and what to do", err)
	}
}

// TestProcessOfSurvivor: Close does not wait for a child that outlives its program
// and keeps its output open.
func TestProcessOfSurvivor(t *testing.T) {
	dir := t.TempDir()
	hold := filepath.Join(dir, "hold")
	if err := syscall.Mkfifo(hold, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(hold, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pipe.Close() }() // ends the child
	p, err := lab.StartProgram(dir, nil, "sh", "-c", "cat hold & echo up; read -r line < hold")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); p.Logs() == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not start")
		}
	}
	go p.Kill()
	select {
	case <-p.Done():
	case <-time.After(30 * time.Second):
		t.Error("killing it waits for its child")
	}
}
