package wiring

import (
	"path/filepath"
	"strings"
	"testing"

	"certroll/cmd/certroll/settings"
	"certroll/gitsync/filelock"
	"certroll/gitsync/journal"
)

// TestOpenClosesAfterAnError: if opening one part fails, the parts opened before it release their locks, so that the
// process can retry.
func TestOpenClosesAfterAnError(t *testing.T) {
	dir := t.TempDir()
	s := &settings.Settings{StateDir: filepath.Join(dir, "state"), Ledger: &settings.Ledger{URL: filepath.Join(dir, "ledger.git")}}
	other, err := journal.Open(filepath.Join(s.StateDir, journalName(s)))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p := &Parts{}
		if err := p.open(s, true); err == nil || !strings.Contains(err.Error(), "is held by") {
			t.Fatalf("a journal that another process has: %v", err)
		}
		locks, err := filepath.Glob(filepath.Join(s.LedgerMemory(), "*", "lock"))
		if err != nil || len(locks) != 1 {
			t.Fatalf("locks %v, %v", locks, err)
		}
		lock, err := filelock.Take(locks[0])
		if err != nil {
			t.Fatalf("the ledger is still open: %v", err)
		}
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	p := &Parts{}
	if err := p.open(s, true); err != nil {
		t.Fatal(err)
	}
	p.Close()
}
