package reconciletest

import (
	"slices"
	"sync"
	"testing"

	"certroll/reconcile/ledger"
)

// SealedError is the error of a sealed Vault; if dead, of a Vault that rejects the token.
type SealedError struct {
	CaError
	dead bool
}

func (e *SealedError) Away() bool      { return !e.dead }
func (e *SealedError) DeadToken() bool { return e.dead }

// Sealing is a Vault that seals at its nth call, until Unseal. Before that each answer
// takes a moment, so that concurrent calls interleave.
type Sealing struct {
	mu     sync.Mutex
	vault  *MemVault
	left   int // calls until it seals
	dead   bool
	sealed bool
	Asked  int // calls while it was sealed
}

// Sealed makes the world's Vault unusable from its nth call on.
func (w *World) Sealed(n int, dead bool) *Sealing {
	s := &Sealing{vault: w.Vault, left: n, dead: dead}
	w.Vault.Fail = func(string, string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.left--; s.left < 0 {
			s.sealed = true
			s.Asked++
			text := "Vault answered 503: Vault is sealed"
			if s.dead {
				text = "Vault answered 403: permission denied; invalid token"
			}
			return &SealedError{CaError{Code: "vault", Text: text}, s.dead}
		}
		return nil
	}
	return s
}

// Unseal makes Vault answer again.
func (s *Sealing) Unseal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.sealed = 1<<30, false
}

func (s *Sealing) IsSealed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sealed
}

// OneProblem requires that an outage of Vault becomes one event and its end, that no
// certificate has a failure, and that all are live afterwards.
func (w *World) OneProblem(t *testing.T, n int) {
	t.Helper()
	if outages := w.OutageEvents(t); !slices.Equal(outages, []ledger.Status{ledger.Failed, ledger.Success}) {
		t.Errorf("told of Vault: %v, want one failure and its end", outages)
	}
	live := 0
	for _, e := range w.Ledger.Events(t) {
		switch {
		case e.Operation == ledger.KindPass:
		case e.Status == ledger.Failed || e.Status == ledger.Denied:
			t.Errorf("a failure of its own: %+v", e)
		case e.Operation.Orders() && e.Status == ledger.Success:
			live++
		}
	}
	if live != n {
		t.Errorf("%d are told as issued, want %d", live, n)
	}
	for _, c := range w.Desired.Certificates {
		if r := w.Ledger.Record(t, c.Name); r.State != ledger.StateLive || r.Failures > 0 || r.Hold != nil {
			t.Errorf("record of %s: %+v", c.Name, r)
		}
		w.SecretPair(c.Vault.Path)
	}
}
