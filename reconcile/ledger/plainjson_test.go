package ledger_test

import (
	"bytes"
	"testing"
	"testing/fstest"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
)

// TestLedgerIsReadable checks that the ledger stores text unescaped, so that a search
// finds it, and that the hash chain also covers older, escaped lines.
func TestLedgerIsReadable(t *testing.T) {
	const actor, said = "Ann <ann@example.com>", `the CA answered <400> & "no"`
	old := []byte(`{"schema":1,"id":"e1","time":"2026-11-01T09:00:00Z","operation":"issue","status":"success","actor":"Ann \u003cann@example.com\u003e"}`)
	tree := fstest.MapFS{"audit/2026/11.jsonl": {Data: append(bytes.Clone(old), '\n')}}
	files, err := archive.AppendEvents(tree, []ledger.Event{{ID: "e2", Time: reconciletest.Start, Operation: ledger.KindIssue, Status: ledger.Failed, Actor: actor, Message: said}}, reconciletest.Start)
	if err != nil {
		t.Fatal(err)
	}
	body := files["audit/2026/11.jsonl"]
	for _, want := range []string{string(old) + "\n", `"actor":"` + actor + `"`, `"message":"the CA answered <400> & \"no\""`, `"prev":"` + ledger.LineHash(old) + `"}` + "\n"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	record, err := ledger.MarshalRecord(&ledger.Record{Certificate: "api", LastFailure: &ledger.Failure{Message: "<400>"}})
	if err != nil || !bytes.Contains(record, []byte(`"message": "<400>"`)) || !bytes.HasSuffix(record, []byte("}\n")) || bytes.HasSuffix(record, []byte("\n\n")) {
		t.Errorf("%v\n%s", err, record)
	}
}
