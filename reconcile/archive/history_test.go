package archive_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
)

// auditTree returns a ledger whose audit files hold events of these ages, in this
// order.
func auditTree(t *testing.T, files map[string][]time.Duration) fstest.MapFS {
	t.Helper()
	tree := fstest.MapFS{}
	for name, ages := range files {
		var b []byte
		for _, age := range ages {
			line, err := json.Marshal(ledger.Event{Schema: 1, ID: age.String(), Time: reconciletest.Start.Add(-age)})
			if err != nil {
				t.Fatal(err)
			}
			b = append(append(b, line...), '\n')
		}
		tree[name] = &fstest.MapFile{Data: b}
	}
	return tree
}

func TestHistory(t *testing.T) {
	cases := map[string]struct {
		files map[string][]time.Duration
		extra string // appended to the newest file
		want  string // event IDs
	}{
		"no file":          {nil, "", ""},
		"an empty file":    {map[string][]time.Duration{"audit/2026/11.jsonl": nil}, "", ""},
		"all young":        {map[string][]time.Duration{"audit/2026/11.jsonl": {3 * time.Hour, 2 * time.Hour, time.Hour}}, "", "3h0m0s 2h0m0s 1h0m0s"},
		"over a month":     {map[string][]time.Duration{"audit/2026/10.jsonl": {300 * time.Hour, 100 * time.Hour}, "audit/2026/11.jsonl": {time.Hour}}, "", "100h0m0s 1h0m0s"},
		"an old one first": {map[string][]time.Duration{"audit/2026/11.jsonl": {500 * time.Hour, 2 * time.Hour}}, "", "2h0m0s"},
		// After an outage of Git, an older event may follow a newer one.
		"told late":                  {map[string][]time.Duration{"audit/2026/11.jsonl": {500 * time.Hour, 3 * time.Hour, 200 * time.Hour, time.Hour}}, "", "3h0m0s 1h0m0s"},
		"of a clock that ran ahead":  {map[string][]time.Duration{"audit/2026/11.jsonl": {3 * time.Hour}, "audit/2036/01.jsonl": {-87600 * time.Hour, time.Hour}}, "", "3h0m0s -87600h0m0s 1h0m0s"},
		"of a clock that was behind": {map[string][]time.Duration{"audit/2026/11.jsonl": {3 * time.Hour, 2 * time.Hour, 87600 * time.Hour}}, "", "3h0m0s 2h0m0s"},
		"a forged last file":         {map[string][]time.Duration{"audit/2026/11.jsonl": {3 * time.Hour}, "audit/2026/12.jsonl": {87600 * time.Hour}}, "", "3h0m0s"},
		"torn":                       {map[string][]time.Duration{"audit/2026/11.jsonl": {time.Hour}}, `{"schema":1,"id`, "1h0m0s"},
		"not reached":                {map[string][]time.Duration{"audit/2026/10.jsonl": {500 * time.Hour}, "audit/2026/11.jsonl": {400 * time.Hour, time.Hour}}, "", "1h0m0s"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tree := auditTree(t, tc.files)
			if f := tree["audit/2026/11.jsonl"]; f != nil {
				f.Data = append(f.Data, tc.extra...)
			}
			events, err := archive.ReadHistory(tree, reconciletest.Start.Add(-archive.HistorySpan))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(ids(events), " "); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestCredible(t *testing.T) {
	until := reconciletest.Start.Add(3650*times.Day + time.Hour)
	events := []ledger.Event{{ID: "a", Time: reconciletest.Start.Add(-time.Hour)}, {ID: "b", Time: reconciletest.Start.Add(3650 * times.Day), HoldUntil: &until}}
	got := archive.Credible(events, reconciletest.Start)
	if !got[0].Time.Equal(reconciletest.Start.Add(-time.Hour)) || !got[1].Time.Equal(reconciletest.Start) || !got[1].HoldUntil.Equal(reconciletest.Start.Add(time.Hour)) {
		t.Errorf("got %+v", got)
	}
	if !events[1].Time.Equal(reconciletest.Start.Add(3650 * times.Day)) {
		t.Error("what was observed has changed")
	}
}

// TestHistoryCache checks that for any appended events and read times the cache returns
// every event that a reader without a cache finds, and no invented one.
func TestHistoryCache(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	tree := fstest.MapFS{}
	c := &archive.HistoryCache{}
	now := reconciletest.Start
	for step := range 400 {
		now = now.Add(time.Duration(r.Intn(12)) * time.Hour)
		if r.Intn(40) == 0 {
			now = now.Add(-3 * times.Day) // the clock is set back
		}
		for range r.Intn(3) {
			e := ledger.Event{Schema: 1, ID: fmt.Sprint(step), Time: now.Add(-time.Duration(r.Intn(20)) * time.Hour)}
			files, err := archive.AppendEvents(tree, []ledger.Event{e}, now)
			if err != nil {
				t.Fatal(err)
			}
			for name, b := range files {
				tree[name] = &fstest.MapFile{Data: b}
			}
		}
		if r.Intn(100) == 0 { // a ledger that was recreated
			tree = auditTree(t, map[string][]time.Duration{"audit/2026/10.jsonl": {time.Hour, 0}})
		}
		since := now.Add(-archive.HistorySpan)
		want, err := archive.ReadHistory(tree, since)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Read(tree, since)
		if err != nil {
			t.Fatal(err)
		}
		all, err := archive.ReadHistory(tree, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		all = slices.DeleteFunc(all, func(e ledger.Event) bool { return e.Time.Before(since) })
		if !within(ids(want), ids(got)) || !within(ids(got), ids(all)) {
			t.Fatalf("step %d:\n%v\nwithout a cache\n%v\nof\n%v", step, ids(got), ids(want), ids(all))
		}
	}
}

// within reports whether part is a subsequence of whole.
func within(part, whole []string) bool {
	for _, w := range whole {
		if len(part) > 0 && part[0] == w {
			part = part[1:]
		}
	}
	return len(part) == 0
}

func ids(events []ledger.Event) []string {
	list := []string{}
	for _, e := range events {
		list = append(list, e.ID)
	}
	return list
}

// TestAuditBesideOthers checks that other files below audit/ do not count as audit log.
func TestAuditBesideOthers(t *testing.T) {
	tree := fstest.MapFS{"audit/README.md": {}, "audit/2026/11.jsonl": {}, "audit/2026/12.jsonl/notes": {}, "audit/2026/notes.txt": {}}
	if files, err := archive.AuditFiles(tree); err != nil || len(files) != 1 || files[0] != "audit/2026/11.jsonl" {
		t.Errorf("the files are %v: %v", files, err)
	}
}

// TestAForgedTimeHidesNoConsent checks that a line with an early time after a person's consent does not hide the consent.
func TestAForgedTimeHidesNoConsent(t *testing.T) {
	at, commit := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), strings.Repeat("a", 40)
	consent := ledger.Event{Operation: ledger.KindConfig, Reason: ledger.ReasonAccepted, Status: ledger.Success, Revision: commit, Time: at}
	old := ledger.Event{Operation: ledger.KindNote, Status: ledger.Success, Time: time.Unix(0, 0)}
	for name, tree := range map[string]fstest.MapFS{
		"a line": {"audit/2026/11.jsonl": logOf(t, consent, old)},
		"a file": {"audit/2026/11.jsonl": logOf(t, consent), "audit/2026/12.jsonl": logOf(t, old)},
	} {
		for since, want := range map[time.Time]bool{at.Add(-time.Hour): true, at.Add(time.Hour): false} {
			if got, err := archive.AcceptedSince(tree, commit, since); err != nil || got != want {
				t.Errorf("%s, since %s: %t, %v", name, since, got, err)
			}
		}
	}
}
