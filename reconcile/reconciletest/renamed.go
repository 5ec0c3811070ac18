package reconciletest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

const TheOwner = "A. Owner <owner@example.com>"

// ToldOf compares the events of a certificate, those of its former names with them.
func (w *World) ToldOf(t *testing.T, name, want string) {
	t.Helper()
	tree := w.Snapshot(t)
	events, err := archive.Query{Certificate: name}.Events(tree)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range events {
		told = append(told, string(e.Operation)+"/"+string(e.Reason))
	}
	if got := strings.Join(told, " "); got != want {
		t.Errorf("the events of %s are %s, want %s", name, got, want)
	}
	newest, more, err := archive.Query{Certificate: name}.Newest(tree, 100)
	if err != nil || more || len(newest) != len(events) {
		t.Errorf("the newest are %d, more %v: %v", len(newest), more, err)
	}
}

// HeldUntil demands that the plan holds a certificate back until then.
func (w *World) HeldUntil(t *testing.T, name string, until time.Time) {
	t.Helper()
	for _, a := range w.Plan() {
		if a.Certificate == name && (a.Kind != ledger.KindHold || !a.NotBefore.Equal(until)) {
			t.Errorf("%s: %s until %s, want a hold until %s: %s", name, a.Kind, a.NotBefore, until, a.Detail)
		}
	}
}

// FailToMove applies a plan while the metadata of tls/api cannot be written: all of it, or
// all that closes no record.
func (w *World) FailToMove(t *testing.T, all bool) {
	t.Helper()
	r, actions := w.Planned()
	if !all {
		actions = slices.DeleteFunc(actions, func(a plan.Action) bool { return a.Kind == ledger.KindRetire })
	}
	w.Vault.Fail = func(op, path string) error {
		if op == "write-metadata" && path == "secret/tls/api" {
			return errors.New("permission denied")
		}
		return nil
	}
	report, err := r.Apply(t.Context(), w.Desired, ledger.Revision{Commit: "c0ffee", Author: TheOwner}, actions)
	if w.Vault.Fail = nil; err != nil || report.Failed() != 1 {
		t.Fatalf("%d failed, %v", report.Failed(), err)
	}
}

// There tells that a secret can be read.
func (w *World) There(path string) bool {
	_, readable, _, _ := w.Vault.ReadMetadata(context.Background(), "secret", path)
	return readable
}
