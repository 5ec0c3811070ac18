package archive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/reconcile/recorder"
	"certroll/reconcile/times"
)

// damages maps names to contents that anybody who may push can put in place of a
// record, doctor.json or an audit line.
var damages = map[string]string{
	"garbage":      "garbage",
	"nothing":      "",
	"NULs":         strings.Repeat("\x00", 100),
	"a text":       `"text"`,
	"a list":       "[]",
	"a type":       `{"schema": 1, "certificate": 5, "operation": {}, "problems": 7}`,
	"wrong time":   `{"schema": 1, "certificate": "api", "updated_at": "yesterday", "time": "yesterday"}`,
	"huge number":  `{"schema": 1, "certificate": "api", "failures": 1e999, "vault_version": 1e999, "problems": 1e999}`,
	"other schema": `{"schema": 99999, "certificate": "api", "problems": []}`,
	"no schema":    `{"certificate": "api", "time": 0, "problems": 0}`,
	"deep":         strings.Repeat(`{"a":`, 20_000),
	"escapes":      "\x1b]0;x\x07\u202e{",
}

func goodRecord(t *testing.T, name string, failures int) []byte {
	t.Helper()
	b, err := ledger.MarshalRecord(&ledger.Record{Schema: 1, Certificate: name, State: ledger.StateFailing, Failures: failures, UpdatedAt: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pastTrees holds earlier trees of the ledger, the newest first.
type pastTrees struct {
	trees []fs.FS
	asked int
	err   error
}

func (p *pastTrees) Earlier(_ context.Context, visit func(fs.FS) bool) error {
	p.asked++
	for _, tree := range p.trees {
		if !visit(tree) {
			break
		}
	}
	return p.err
}

// TestADamagedRecordStopsNobody checks that a damaged record is reported by name and
// that the others are read. Its last readable version from the history replaces it,
// with one search.
func TestADamagedRecordStopsNobody(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			was := fstest.MapFS{"certificates/api.json": {Data: goodRecord(t, "api", 7)}}
			worse := fstest.MapFS{"certificates/api.json": {Data: []byte("worse")}}
			tree := fstest.MapFS{
				"certificates/api.json": {Data: []byte(damage)}, "certificates/zz.json": {Data: []byte(damage)},
				"certificates/web.json": {Data: goodRecord(t, "web", 1)},
			}
			past := &pastTrees{trees: []fs.FS{worse, was, fstest.MapFS{"certificates/api.json": {Data: goodRecord(t, "api", 1)}}}}
			for range 2 {
				records, lost, err := archive.ReadLedger(t.Context(), tree, past, time.Now())
				if err != nil || len(records) != 2 || records["api"] == nil || records["api"].Failures != 7 || records["web"].Failures != 1 {
					t.Fatalf("records %v, %v", records, err)
				}
				if len(lost) != 2 || lost[0].File != "certificates/api.json" || lost[1].File != "certificates/zz.json" {
					t.Errorf("named are %v", lost)
				}
				for _, f := range lost {
					if strings.ContainsFunc(f.Problem+f.File, func(r rune) bool { return r < ' ' || r == 0x202e }) || len(f.Problem) > 500 {
						t.Errorf("%q acts on terminals", f.Problem)
					}
				}
			}
			var c archive.RecordCache
			for range 3 {
				if _, err := c.Read(tree); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Mend(t.Context(), tree, past, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			if past.asked != 3 {
				t.Errorf("the history was read %d times for three caches", past.asked)
			}
		})
	}
}

// TestADamagedRecordInARun checks that a running process replaces a damaged record with
// the version it read last, without a search of the history.
func TestADamagedRecordInARun(t *testing.T) {
	var c archive.RecordCache
	past := &pastTrees{}
	for i, text := range []string{string(goodRecord(t, "api", 7)), "garbage", "more garbage", "garbage"} {
		records, err := c.Read(fstest.MapFS{"certificates/api.json": {Data: []byte(text)}})
		if err != nil || records["api"] == nil || records["api"].Failures != 7 {
			t.Fatalf("step %d: %v, %v", i, records, err)
		}
	}
	if _, err := c.Mend(t.Context(), fstest.MapFS{}, past, time.Now()); err != nil || past.asked > 0 {
		t.Errorf("the history was read, %v", err)
	}
}

// TestTheHistoryCannotBeRead checks that an unreadable history adds a finding and is
// read again next time.
func TestTheHistoryCannotBeRead(t *testing.T) {
	tree := fstest.MapFS{"certificates/api.json": {Data: []byte("garbage")}}
	past := &pastTrees{err: errors.New("no way there")}
	records, lost, err := archive.ReadLedger(t.Context(), tree, past, time.Now())
	if err != nil || len(records) != 0 || len(lost) != 2 || !strings.Contains(lost[1].Problem, "no way there") {
		t.Errorf("%v, %v, %v", records, lost, err)
	}
}

// TestSomethingElseInTheirPlaces covers directories in place of files, and files in
// place of directories.
func TestSomethingElseInTheirPlaces(t *testing.T) {
	line, err := json.Marshal(ledger.Event{Schema: 1, ID: "a", Time: time.Now(), Operation: ledger.KindNote, Status: ledger.Failed})
	if err != nil {
		t.Fatal(err)
	}
	good := fstest.MapFS{"certificates/api.json": {Data: goodRecord(t, "api", 7)}, "audit/2026/11.jsonl": {Data: append(line, '\n')}}
	for name, tc := range map[string]struct {
		change map[string]*fstest.MapFile
		lost   string
	}{
		"a record":         {map[string]*fstest.MapFile{"certificates/api.json": nil, "certificates/api.json/x": {}}, "certificates/api.json"},
		"all records":      {map[string]*fstest.MapFile{"certificates/api.json": nil, "certificates": {Data: []byte("x")}}, "certificates"},
		"doctor.json":      {map[string]*fstest.MapFile{"doctor.json/x": {}}, "doctor.json"},
		"the audit log":    {map[string]*fstest.MapFile{"audit/2026/11.jsonl": nil, "audit": {Data: []byte("x")}}, "audit"},
		"a year":           {map[string]*fstest.MapFile{"audit/2026/11.jsonl": nil, "audit/2026": {}}, ""},
		"an audit file":    {map[string]*fstest.MapFile{"audit/2026/11.jsonl": nil, "audit/2026/11.jsonl/x": {}}, ""},
		"beside the audit": {map[string]*fstest.MapFile{"audit/README": {}, "audit/2026/x.jsonl/y": {}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tree := maps.Clone(good)
			for file, f := range tc.change {
				if tree[file] = f; f == nil {
					delete(tree, file)
				}
			}
			records, _, err := archive.ReadLedger(t.Context(), tree, &pastTrees{trees: []fs.FS{good}}, time.Now())
			if err != nil || records["api"] == nil || records["api"].Failures != 7 {
				t.Errorf("records %v, %v", records, err)
			}
			lost, err := archive.Unreadable(tree)
			if err != nil || tc.lost != "" && (len(lost) != 1 || lost[0].File != tc.lost) {
				t.Errorf("named are %v, %v", lost, err)
			}
			e := ledger.Entry{
				Event:  ledger.Event{ID: "b", Time: time.Now(), Operation: ledger.KindNote, Status: ledger.Success},
				Record: &ledger.Record{Schema: ledger.RecordSchema, Certificate: "api", State: ledger.StateFailing, Failures: 8, UpdatedAt: time.Now()},
			}
			s := &recorder.Writer{Records: &archive.RecordCache{}, Now: time.Now}
			files, err := s.Edit(tree, []ledger.Entry{e})
			if err != nil || len(files["certificates/api.json"]) == 0 {
				t.Errorf("nothing can be told any more: %v, %v", files, err)
			}
		})
	}
}

// TestDamagedLinesStopNobody checks that damaged or duplicate audit lines are reported
// by line, and that the events around them are read.
func TestDamagedLinesStopNobody(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	event := func(id string) string {
		b, err := json.Marshal(ledger.Event{Schema: 1, ID: id, Time: at, Operation: ledger.KindIssue, Status: ledger.Failed, Certificate: "api"})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, damage := range damages {
		if json.Unmarshal([]byte(damage), &ledger.Event{}) == nil || damage == "" {
			continue // not a line, or an event without meaning
		}
		t.Run(name, func(t *testing.T) {
			damage := strings.ReplaceAll(damage, "\n", " ")
			body := strings.Join([]string{event("a"), damage, event("b"), event("b"), damage, event("c"), damage, ""}, "\n")
			tree := fstest.MapFS{"audit/2026/11.jsonl": {Data: []byte(body)}}
			var c archive.HistoryCache
			for range 2 { // the second pass finds nothing new
				events, err := c.Read(tree, at.Add(-times.Day))
				if err != nil || len(events) != 3 {
					t.Fatalf("%d events, %v", len(events), err)
				}
				if got := fmt.Sprint(len(c.Lost), c.Lost[0].Where(), c.Lost[2].Where()); got != "3audit/2026/11.jsonl line 7audit/2026/11.jsonl line 2" && got != "3 audit/2026/11.jsonl line 7 audit/2026/11.jsonl line 2" {
					t.Errorf("named are %s", got)
				}
			}
			if events, _, err := (archive.Query{Certificate: "api"}).Newest(tree, 10); err != nil || len(events) != 4 {
				t.Errorf("newest: %d events, %v", len(events), err)
			}
			tree["audit/2026/11.jsonl"] = &fstest.MapFile{Data: []byte(body + event("d") + "\n" + damage + "\n")}
			events, err := c.Read(tree, at.Add(-times.Day))
			if err != nil || len(events) != 4 || len(c.Lost) != 4 || c.Lost[3].Line != 9 {
				t.Errorf("grown: %d events, %v, %v", len(events), c.Lost, err)
			}
		})
	}
}

// TestAuditVerifyNamesWhatCannotBeRead checks that verification names every unreadable
// record, doctor.json and audit line.
func TestAuditVerifyNamesWhatCannotBeRead(t *testing.T) {
	tree := fstest.MapFS{
		"certificates/zz.json": {Data: []byte("garbage")}, "doctor.json": {Data: []byte("{")}, "audit/2026/11.jsonl": {Data: []byte("x\n")},
	}
	trail, err := audit.VerifyTrail(t.Context(), oneCommit{tree}, false)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, f := range trail.Findings {
		named = append(named, f.Where())
	}
	if got := strings.Join(named, ", "); got != "audit/2026/11.jsonl line 1, certificates/zz.json, doctor.json" {
		t.Errorf("named are %s", got)
	}
}

type oneCommit struct{ tree fs.FS }

func (o oneCommit) Walk(_ context.Context, visit func(string, []string, fs.FS) error) error {
	return visit("c0ffee", nil, o.tree)
}

// TestUnreadableEvents checks that the event about an unreadable content has the same
// ID at any time, so that it is recorded once.
func TestUnreadableEvents(t *testing.T) {
	lost := archive.Lose(archive.Lose(nil, "certificates/zz.json", 0, "garbage"), "audit/2026/11.jsonl", 3, "garbage")
	a, b := archive.UnreadableEvents(lost, time.Now()), archive.UnreadableEvents(lost, time.Now().Add(times.Day))
	if len(a) != 2 || a[0].ID != b[0].ID || a[0].ID == a[1].ID || a[0].Reason != ledger.ReasonDamaged || !strings.Contains(a[1].Message, "audit/2026/11.jsonl line 3") {
		t.Errorf("told is %+v", a)
	}
}
