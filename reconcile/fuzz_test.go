package reconcile_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/recorder"
	"certroll/reconcile/statuspage"
)

// FuzzLedger feeds arbitrary content to the ledger: anybody who may push can write it.
// Reading it may only fail with an error, and STATUS.md must remain a valid table.
func FuzzLedger(f *testing.F) {
	record, err := ledger.MarshalRecord(reconciletest.NewView().Record)
	if err != nil {
		f.Fatal(err)
	}
	const commit = "5ad8f67c560523c935454493a6e0215aaba8e92d"
	accepted := `{"schema":1,"id":"a","time":"2026-11-23T12:00:00Z","operation":"config","status":"success","reason":"accepted","revision":"` + commit + `"}` + "\n"
	problems := `{"schema":1,"updated_at":"2026-11-23T12:00:00Z","problems":[{"operation":"probe","class":"stale","about":"api:443","certificates":["api"],"since":"2026-11-23T12:00:00Z"}]}`
	failing := `{"schema":1,"certificate":"b","file":"b|\u001b[1m","state":"failing","severity":"page","failures":3,"last_failure":{"class":"caa","message":"no\n| x |"},"hold":{"reason":"backoff"}}`
	f.Add(record, []byte(accepted), []byte(problems))
	f.Add([]byte(failing), []byte(accepted+`{"schema":1,"id":"b","certificate":"b","operation":"issue","status":"failure","issuer":"ca"}`), []byte("{}"))
	f.Add(record, []byte(accepted), []byte(`{"problems":[{"operation":"probe"},null]}`))
	f.Fuzz(func(t *testing.T, record, log, problems []byte) {
		file := ledger.RecordFile("a")
		if r, err := ledger.UnmarshalRecord(record); err == nil {
			file = ledger.RecordFile(r.Certificate)
		}
		tree := fstest.MapFS{
			file: {Data: record}, "audit/2026/11.jsonl": {Data: log}, ledger.ProblemsFile: {Data: problems},
		}
		records, recordsErr := archive.ReadRecords(tree)
		open, problemsErr := archive.ReadProblems(tree)
		events, historyErr := archive.ReadHistory(tree, time.Time{})
		taken, _ := archive.LastTaken(tree)
		if ok, _ := archive.AcceptedSince(tree, commit, taken.At); ok && !strings.Contains(string(log), commit) {
			t.Error("a consent is read that nobody wrote")
		}
		_, _ = (&audit.Surveyor{Lines: map[string]int{}}).Mark(tree, commit)
		_, _ = recorder.Tells(tree, "a")
		if recordsErr == nil && problemsErr == nil {
			onePage(t, records, open)
		}
		if historyErr == nil && recordsErr == nil {
			for _, b := range outbox.Group(outbox.Notices(events, 0), outbox.Interest{On: outbox.UsualNotices()}, records) {
				if len(b.Notices) == 0 || len(b.Notices[0].Kinds) == 0 {
					t.Errorf("a message tells of nothing: %+v", b)
				}
			}
		}
		if historyErr == nil {
			appendable(t, tree, events)
		}
	})
}

// onePage checks that no content of a ledger can start a line of STATUS.md or control
// the terminal that shows it.
func onePage(t *testing.T, records map[string]*ledger.Record, open *ledger.Problems) {
	t.Helper()
	page := string(statuspage.StatusPage(records, open))
	if i := strings.IndexFunc(page, func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
		t.Errorf("STATUS.md holds %q:\n%s", page[i], page)
	}
	for _, r := range records {
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "| ["+r.Certificate+"]") && strings.Count(line, "|") != 9 {
				t.Errorf("a row has other columns: %s", line)
			}
		}
	}
	for _, p := range open.Problems {
		p.Event(ledger.Failed, ledger.ReasonFound, ledger.Revision{}, reconciletest.Start)
	}
}

// appendable checks that events appended to the audit log can be read again.
func appendable(t *testing.T, tree fstest.MapFS, events []ledger.Event) {
	t.Helper()
	e := ledger.Event{Schema: ledger.EventSchema, ID: "of this test", Time: reconciletest.Start.AddDate(0, 1, 0), Operation: ledger.KindNote}
	files, err := archive.AppendEvents(tree, []ledger.Event{e}, e.Time)
	if err != nil {
		return
	}
	for name, b := range files {
		tree[name] = &fstest.MapFile{Data: b}
	}
	again, err := archive.ReadHistory(tree, time.Time{})
	if err != nil || len(again) != len(events)+1 {
		t.Errorf("of %d events and one more %d are read: %v", len(events), len(again), err)
	}
}

// FuzzKept checks that the checkpoint and the delivery state in Vault are read back as
// written, or rejected.
func FuzzKept(f *testing.F) {
	at := "2026-11-23T12:00:00Z"
	f.Add([]byte(`{"head":"c0ffee","events":"3","file":"audit/2026/11.jsonl","line":"3","hash":"a","at":"` + at + `","nonce":"n"}`))
	f.Add([]byte(`{"after":"a","after_at":"` + at + `","upto":"b","upto_at":"` + at + `","sent":"1","messages":"[{\"id\":\"1f\",\"body\":\"e30=\"}]","tries":"1","retry_at":"` + at + `"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var fields map[string]string
		if json.Unmarshal(text, &fields) != nil || len(fields) == 0 {
			return
		}
		if m, err := audit.MarkOf(fields); err == nil {
			if again, err := audit.MarkOf(m.Fields()); err != nil || again.Head != m.Head || again.Events != m.Events || again.Line != m.Line {
				t.Errorf("%+v is read as %+v: %v", m, again, err)
			}
		}
		if k, err := outbox.DeliveryStateOf(fields); err == nil {
			written, err := k.Fields()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := outbox.DeliveryStateOf(written); err != nil || len(again.Messages) != len(k.Messages) || again.Sent != k.Sent || again.Tries != k.Tries || !again.RetryAt.Equal(k.RetryAt) {
				t.Errorf("%+v is read as %+v: %v", k, again, err)
			}
		}
	})
}
