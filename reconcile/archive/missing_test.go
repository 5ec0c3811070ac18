package archive_test

import (
	"encoding/json"
	"errors"
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
			records, lost, err := archive.ReadLedger(t.Context(), tc.tree, past, at)
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
					_, err = c.Mend(t.Context(), tree, past, at)
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
	records, lost, err := archive.ReadLedger(t.Context(), tree, past, time.Now())
	if err != nil || len(records)+len(lost)+past.asked != 0 {
		t.Errorf("%v, %v, %v; the history was read %d times", records, lost, err, past.asked)
	}
}

// TestAForgedTimeHidesNoAttempt checks that no single line, whatever its time and file, hides the recent attempts of a
// certificate whose record was deleted, and that attempts before the period of the history are no evidence.
func TestAForgedTimeHidesNoAttempt(t *testing.T) {
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	note := func(at time.Time) ledger.Event {
		return ledger.Event{Operation: ledger.KindNote, Status: ledger.Success, Time: at}
	}
	attempt := ledger.Event{Certificate: "api", Operation: ledger.KindRenew, Status: ledger.Failed, Time: at.Add(-times.Day)}
	for name, tc := range map[string]struct {
		log  fstest.MapFS
		now  time.Time
		want bool
	}{
		"no other line":                    {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt)}, at, true},
		"a clock ahead":                    {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt, note(at.AddDate(4, 0, 0)))}, at, true},
		"a clock ahead, in its file":       {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt), "audit/2030/11.jsonl": logOf(t, note(at.AddDate(4, 0, 0)))}, at, true},
		"a clock behind":                   {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt, note(time.Unix(0, 0)))}, at, true},
		"a file of old lines":              {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt), "audit/2026/12.jsonl": logOf(t, note(at.AddDate(-1, 0, 0)))}, at, true},
		"a file that is empty":             {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt), "audit/2026/12.jsonl": {}}, at, true},
		"since before the month":           {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt), "audit/2026/12.jsonl": {}}, at.AddDate(0, 0, 5), true},
		"long ago":                         {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt)}, at.AddDate(0, 0, 9), false},
		"long ago, and a clock was behind": {fstest.MapFS{"audit/2026/11.jsonl": logOf(t, attempt, note(at.AddDate(0, 0, 9)))}, at.AddDate(0, 0, 9), false},
	} {
		t.Run(name, func(t *testing.T) {
			past := maps.Clone(tc.log)
			past["certificates/api.json"] = &fstest.MapFile{Data: goodRecord(t, "api", 7)}
			records, lost, err := archive.ReadLedger(t.Context(), tc.log, &pastTrees{trees: []fs.FS{past}}, tc.now)
			if err != nil || (records["api"] != nil) != tc.want || len(lost) != len(records) {
				t.Errorf("records %v, reported %v, %v", records, lost, err)
			}
		})
	}
}

// TestEachDeletionIsReported checks that each deletion of a record has an event of its own, and that repeated passes on one
// day have the same one.
func TestEachDeletionIsReported(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	log := logOf(t, ledger.Event{Certificate: "api", Operation: ledger.KindRenew, Status: ledger.Failed, Time: at})
	deleted := fstest.MapFS{"audit/2026/11.jsonl": log}
	of := func(updated time.Time) fstest.MapFS {
		b, err := ledger.MarshalRecord(&ledger.Record{Schema: 1, Certificate: "api", State: ledger.StateFailing, UpdatedAt: updated})
		if err != nil {
			t.Fatal(err)
		}
		return fstest.MapFS{"audit/2026/11.jsonl": log, "certificates/api.json": {Data: b}}
	}
	var c archive.RecordCache
	ids := map[string]bool{}
	for i, step := range []struct {
		tree fstest.MapFS
		at   time.Time
		want int // events so far
	}{
		{of(at), at, 0},
		{deleted, at, 1},
		{deleted, at.Add(time.Hour), 1},
		{of(at.Add(2 * time.Hour)), at.Add(2 * time.Hour), 1},
		{deleted, at.Add(3 * time.Hour), 2},               // another version, on the same day
		{of(at.Add(2 * time.Hour)), at.Add(times.Day), 2}, // restored as it was
		{deleted, at.Add(times.Day).Add(time.Hour), 3},    // the same version, on another day
		{deleted, at.Add(times.Day).Add(2 * time.Hour), 3},
	} {
		_, err := c.Read(step.tree)
		if err == nil {
			_, err = c.Mend(t.Context(), step.tree, nil, step.at)
		}
		if err == nil {
			_, err = c.Read(step.tree)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range archive.UnreadableEvents(c.Unreadable(), step.at) {
			ids[e.ID] = true
		}
		if len(ids) != step.want {
			t.Errorf("step %d: %d events, want %d", i, len(ids), step.want)
		}
	}
}

// TestAFailedSearchWaits checks that certroll does not search the history in each pass if the search fails. It searches
// again after a wait that doubles up to an hour, and at once for another record. Each pass reports the failure.
func TestAFailedSearchWaits(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	log := logOf(t, ledger.Event{Certificate: "api", Operation: ledger.KindRenew, Status: ledger.Failed, Time: at})
	tree := fstest.MapFS{"audit/2026/11.jsonl": log}
	good := fstest.MapFS{"audit/2026/11.jsonl": log, "certificates/api.json": {Data: goodRecord(t, "api", 7)}, "certificates/web.json": {Data: goodRecord(t, "web", 2)}}
	past := &pastTrees{err: errors.New("no way there")}
	var c archive.RecordCache
	pass := func(tree fstest.MapFS, at time.Time) map[string]*ledger.Record {
		t.Helper()
		if _, err := c.Read(tree); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Mend(t.Context(), tree, past, at); (err == nil) != (past.err == nil) || err != nil && !strings.Contains(err.Error(), "no way there") {
			t.Errorf("at %s: %v", at, err)
		}
		records, err := c.Read(tree)
		if err != nil {
			t.Fatal(err)
		}
		return records
	}
	var searches []int
	for m := range 6 * 60 {
		before := past.asked
		if pass(tree, at.Add(time.Duration(m)*time.Minute)); past.asked > before {
			searches = append(searches, m)
		}
	}
	if want := []int{0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303}; !slices.Equal(searches, want) {
		t.Errorf("searched at the minutes %v, want %v", searches, want)
	}
	damaged := maps.Clone(tree)
	damaged["certificates/web.json"] = &fstest.MapFile{Data: []byte("garbage")}
	last := at.Add(359 * time.Minute)
	past.err, past.trees = nil, []fs.FS{good}
	records := pass(damaged, last)
	if records["api"] == nil || records["web"] == nil || past.asked != len(searches)+1 {
		t.Errorf("another record: %v, after %d searches", records, past.asked)
	}
	if pass(damaged, last); past.asked != len(searches)+1 {
		t.Errorf("searched again after a success")
	}
}
