package archive_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
	"certroll/reconcile/times"
)

// logOf returns an audit file with one event per line.
func logOf(t *testing.T, events ...ledger.Event) *fstest.MapFile {
	t.Helper()
	var body []byte
	for _, e := range events {
		e.Schema, e.ID = 1, ledger.EventID(e.Certificate, string(e.Operation), e.Time.String())
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		body = append(append(body, b...), '\n')
	}
	return &fstest.MapFile{Data: body}
}

// TestADeletedRecordStopsNobody checks that a push that deletes some or all records
// does not end a back-off. Their last versions count, are reported and are written
// again.
func TestADeletedRecordStopsNobody(t *testing.T) {
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	retired, err := ledger.MarshalRecord(&ledger.Record{Schema: 1, Certificate: "gone", State: ledger.StateRetired, UpdatedAt: at})
	if err != nil {
		t.Fatal(err)
	}
	failed := func(name string, kind ledger.Kind, at time.Time) ledger.Event {
		return ledger.Event{Certificate: name, Operation: kind, Status: ledger.Failed, Time: at}
	}
	good := fstest.MapFS{
		"audit/2026/11.jsonl": logOf(t,
			failed("old", ledger.KindIssue, at.Add(-30*times.Day)),
			failed("gone", ledger.KindIssue, at.Add(-2*times.Day)),
			failed("api", ledger.KindRenew, at),
			ledger.Event{Certificate: "gone", Operation: ledger.KindRetire, Status: ledger.Success, Time: at},
			failed("never", ledger.KindIssue, at), // forged: no commit contains its record
		),
		"certificates/api.json": {Data: goodRecord(t, "api", 7)}, "certificates/web.json": {Data: goodRecord(t, "web", 1)},
		"certificates/gone.json": {Data: retired}, "certificates/old.json": {Data: goodRecord(t, "old", 3)},
		// A foreign file that a person removed again stays removed.
		"certificates/forged.json": {Data: goodRecord(t, "forged", 9)},
	}
	without := func(files ...string) fstest.MapFS {
		tree := maps.Clone(good)
		for _, f := range files {
			delete(tree, f)
		}
		return tree
	}
	all := slices.DeleteFunc(slices.Sorted(maps.Keys(good)), func(f string) bool { return !strings.HasPrefix(f, "certificates/") })
	for name, tc := range map[string]struct {
		tree fstest.MapFS
		left int // number of records still present
	}{
		"one":            {without("certificates/api.json"), 4},
		"and a stranger": {without("certificates/api.json", "certificates/forged.json", "certificates/gone.json"), 2},
		"the directory":  {without(all...), 0},
	} {
		check := func(t *testing.T, records map[string]*ledger.Record, lost []archive.Breach) {
			t.Helper()
			if len(records) != tc.left+1 || records["api"] == nil || records["api"].Failures != 7 {
				t.Errorf("records %v", records)
			}
			if len(lost) != 1 || lost[0].File != "certificates/api.json" || !strings.Contains(lost[0].Problem, "deleted") {
				t.Errorf("named are %v", lost)
			}
		}
		t.Run("after a start, "+name, func(t *testing.T) {
			past := &pastTrees{trees: []fs.FS{fstest.MapFS{}, good}}
			records, lost, err := archive.ReadLedger(t.Context(), tc.tree, past)
			if err != nil {
				t.Fatal(err)
			}
			check(t, records, lost)
			if past.asked != 1 {
				t.Errorf("the history was read %d times", past.asked)
			}
		})
		t.Run("in a run, "+name, func(t *testing.T) {
			var c archive.RecordCache
			past := &pastTrees{trees: []fs.FS{good}}
			for _, tree := range []fstest.MapFS{good, tc.tree, tc.tree, good, tc.tree} {
				_, err := c.Read(tree)
				if err == nil {
					_, err = c.Mend(t.Context(), tree, past)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			records, err := c.Read(tc.tree)
			if err != nil {
				t.Fatal(err)
			}
			check(t, records, c.Unreadable())
			if past.asked > 1 { // once, for the record that no commit contains
				t.Errorf("the history was read %d times", past.asked)
			}
			w := &recorder.Writer{Records: &c, Now: time.Now}
			files, err := w.Edit(tc.tree, nil)
			if err != nil || len(files["certificates/api.json"]) == 0 || len(files["certificates/gone.json"])+len(files["certificates/forged.json"]) > 0 {
				t.Errorf("written are %v, %v", slices.Collect(maps.Keys(files)), err)
			}
			// Once a record is rewritten, it no longer counts as missing.
			tree := maps.Clone(tc.tree)
			tree["certificates/api.json"] = &fstest.MapFile{Data: files["certificates/api.json"]}
			if _, err := c.Read(tree); err != nil || len(c.Unreadable()) > 0 || len(c.Restored()) > 0 {
				t.Errorf("%v, %v", c.Unreadable(), err)
			}
		})
	}
}

// TestNoRecordIsMissingInANewLedger checks that certroll does not search a new ledger's
// history for records that the audit log never mentions.
func TestNoRecordIsMissingInANewLedger(t *testing.T) {
	past := &pastTrees{}
	tree := fstest.MapFS{"STATUS.md": {}, "audit/2026/11.jsonl": logOf(t, ledger.Event{Operation: ledger.KindNote, Time: time.Now()})}
	records, lost, err := archive.ReadLedger(t.Context(), tree, past)
	if err != nil || len(records)+len(lost)+past.asked != 0 {
		t.Errorf("%v, %v, %v; the history was read %d times", records, lost, err, past.asked)
	}
}
