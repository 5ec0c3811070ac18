package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/statuspage"
	"certroll/reconcile/times"
)

// TestStates checks that a record's states are steps of the one ladder, in its order.
func TestStates(t *testing.T) {
	byRank := func(a, b ledger.State) int { return a.Rank() - b.Rank() }
	for _, list := range [][]ledger.State{ledger.States, ledger.RecordStates} {
		if !slices.IsSortedFunc(list, byRank) {
			t.Errorf("not worst first: %v", list)
		}
	}
	for _, s := range append(ledger.RecordStates, ledger.StateFailing, ledger.StateRetired) {
		if !slices.Contains(ledger.States, s) {
			t.Errorf("%s is not on the ladder", s)
		}
	}
	if slices.Contains(ledger.States, ledger.StateLive) || !slices.Contains(ledger.StoredStates, ledger.StateLive) {
		t.Errorf("only a record says live: %v, %v", ledger.States, ledger.StoredStates)
	}
	for _, s := range []ledger.State{ledger.StateLive, "", "mended"} {
		if s.Rank() != len(ledger.States) || s.Well() || s.Word() != string(s) {
			t.Errorf("%q: rank %d, well %v, word %q", s, s.Rank(), s.Well(), s.Word())
		}
	}
}

// TestStateAtIsOfRecord checks that a record's state at any time is one of
// RecordStates, and that each of them occurs.
func TestStateAtIsOfRecord(t *testing.T) {
	start := reconciletest.Start
	due, back := start.AddDate(0, 0, 60), start.AddDate(0, 0, 61)
	facts := []func(*ledger.Record){
		func(r *ledger.Record) {
			r.Live = &ledger.Live{Serial: "1", NotBefore: start, NotAfter: start.AddDate(0, 0, 90)}
		},
		func(r *ledger.Record) { r.RenewAt = &due },
		func(r *ledger.Record) { r.Unmanaged = &ledger.Unmanaged{} },
		func(r *ledger.Record) { r.Unmanaged = &ledger.Unmanaged{Until: &back} },
		func(r *ledger.Record) { r.Severity = ledger.SeverityPage },
		func(r *ledger.Record) { r.Gone = &ledger.Gone{Version: 1} },
		func(r *ledger.Record) { r.Revoked = &ledger.Revoked{Serial: "1"} },
	}
	seen := map[ledger.State]bool{}
	for _, stored := range append(ledger.StoredStates, "", "mended") {
		for which := range 1 << len(facts) {
			r := ledger.Record{State: stored}
			for i, tell := range facts {
				if which>>i&1 == 1 {
					tell(&r)
				}
			}
			for _, days := range []int{0, 60, 80, 100} {
				s := r.StateAt(start.AddDate(0, 0, days))
				if seen[s] = true; !slices.Contains(ledger.RecordStates, s) {
					t.Fatalf("after %d days it is %q: %+v", days, s, r)
				}
			}
		}
	}
	if len(seen) != len(ledger.RecordStates) {
		t.Errorf("only %v occur", seen)
	}
}

func TestStateAt(t *testing.T) {
	at := func(d time.Duration) *time.Time { return &[]time.Time{reconciletest.Start.Add(d)}[0] }
	cases := map[string]struct {
		record ledger.Record
		after  time.Duration
		want   ledger.State
		next   ledger.Reason
	}{
		"fresh":               {record: ledger.Record{State: ledger.StateLive, RenewAt: at(60 * times.Day)}, want: ledger.StateInOrder, next: ledger.ReasonThreshold},
		"due":                 {record: ledger.Record{State: ledger.StateLive, RenewAt: at(60 * times.Day)}, after: 60 * times.Day, want: ledger.StateDue, next: ledger.ReasonThreshold},
		"due for two days":    {record: ledger.Record{State: ledger.StateLive, RenewAt: at(60 * times.Day)}, after: 62 * times.Day, want: ledger.StateDue, next: ledger.ReasonThreshold},
		"due for three days":  {record: ledger.Record{State: ledger.StateLive, RenewAt: at(60 * times.Day)}, after: 63 * times.Day, want: ledger.StateOverdue, next: ledger.ReasonThreshold},
		"an hour at least":    {record: ledger.Record{State: ledger.StateLive, RenewAt: at(90*times.Day - 2*time.Hour)}, after: 90*times.Day - 61*time.Minute, want: ledger.StateDue, next: ledger.ReasonThreshold},
		"failing":             {record: ledger.Record{State: ledger.StateFailing, RenewAt: at(60 * times.Day), Failures: 1}, after: 70 * times.Day, want: ledger.StateFailing, next: ledger.ReasonThreshold},
		"paging":              {record: ledger.Record{State: ledger.StateFailing, Severity: ledger.SeverityPage, Failures: 3}, want: ledger.StatePaging},
		"nobody renews it":    {record: ledger.Record{State: ledger.StateLive, Unmanaged: &ledger.Unmanaged{Since: reconciletest.Start}}, after: 80 * times.Day, want: ledger.StateUnmanaged},
		"an older record":     {record: ledger.Record{State: ledger.StateLive}, want: ledger.StateUnmanaged},
		"a pause":             {record: ledger.Record{State: ledger.StateLive, Unmanaged: &ledger.Unmanaged{Until: at(10 * times.Day)}}, after: 9 * times.Day, want: ledger.StateUnmanaged},
		"a pause that ended":  {record: ledger.Record{State: ledger.StateLive, Unmanaged: &ledger.Unmanaged{Until: at(10 * times.Day)}}, after: 10 * times.Day, want: ledger.StateDue},
		"and nobody noticed":  {record: ledger.Record{State: ledger.StateLive, Unmanaged: &ledger.Unmanaged{Until: at(10 * times.Day)}}, after: 20 * times.Day, want: ledger.StateOverdue},
		"retired":             {record: ledger.Record{State: ledger.StateRetired, RenewAt: nil}, after: 100 * times.Day, want: ledger.StateRetired},
		"by the CA's window":  {record: ledger.Record{State: ledger.StateLive, RenewAt: at(50 * times.Day), RenewalInfo: &ledger.RenewalInfo{Serial: "a1", RenewAt: *at(50 * times.Day), End: *at(51 * times.Day)}}, want: ledger.StateInOrder, next: ledger.ReasonWindow},
		"the CA wants it new": {record: ledger.Record{State: ledger.StateLive, RenewAt: at(5 * times.Day), RenewalInfo: &ledger.RenewalInfo{Serial: "a1", RenewAt: *at(5 * times.Day), End: *at(6 * times.Day), CheckedAt: *at(7 * times.Day)}}, after: 5 * times.Day, want: ledger.StateDue, next: ledger.ReasonRevoking},
		"another's window":    {record: ledger.Record{State: ledger.StateLive, RenewAt: at(50 * times.Day), RenewalInfo: &ledger.RenewalInfo{Serial: "b2", RenewAt: *at(50 * times.Day)}}, want: ledger.StateInOrder, next: ledger.ReasonThreshold},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := tc.record
			r.Live = &ledger.Live{Serial: "a1", NotBefore: reconciletest.Start, NotAfter: reconciletest.Start.Add(90 * times.Day)}
			if got := r.StateAt(reconciletest.Start.Add(tc.after)); got != tc.want {
				t.Errorf("its state is %s, want %s", got, tc.want)
			}
			if got := r.NextBy(); got != tc.next {
				t.Errorf("renewed by %q, want %q", got, tc.next)
			}
		})
	}
}

func TestStatusPage(t *testing.T) {
	until, renews := reconciletest.Start.Add(30*times.Day), reconciletest.Start.Add(60*times.Day)
	live := func(name string) *ledger.Live {
		return &ledger.Live{Serial: "a1", NotAfter: reconciletest.Start.Add(90 * times.Day), Issuer: "ca", Mount: "secret", Path: "tls/" + name, Version: 2}
	}
	failed := &ledger.Failure{At: reconciletest.Start, Class: ledger.ClassCAA, Message: "CAA record for a|b\nforbids issuance"}
	page := string(statuspage.StatusPage(map[string]*ledger.Record{
		"a-live":   {Certificate: "a-live", State: ledger.StateLive, Names: []string{"a.example.com"}, Live: live("a-live"), RenewAt: &renews},
		"b-gone":   {Certificate: "b-gone", State: ledger.StateRetired, Live: live("b-gone")},
		"c-off":    {Certificate: "c-off", State: ledger.StateLive, Live: live("c-off"), Unmanaged: &ledger.Unmanaged{Since: reconciletest.Start, Until: &until, By: "Ann <ann@example.com>", Reason: "migration"}},
		"d-fails":  {Certificate: "d-fails", State: ledger.StateFailing, LastFailure: failed, Failures: 1},
		"e-wakes":  {Certificate: "e-wakes", State: ledger.StateFailing, Severity: ledger.SeverityPage, Live: live("e-wakes"), RenewAt: &renews, LastFailure: failed, Hold: &ledger.Hold{Until: until, Reason: "failure 3 in a row"}},
		"f-nobody": {Certificate: "f-nobody", State: ledger.StateLive, Live: live("f-nobody"), Unmanaged: &ledger.Unmanaged{Since: reconciletest.Start, Overdue: true}},
	}, nil))
	want := `# Certificates

3 live (2 unmanaged), 2 failing (1 paging), 1 retired.

| certificate | state | names | expires | renews | issuer | Vault | what it waits for |
|---|---|---|---|---|---|---|---|
| [e-wakes](certificates/e-wakes.json) | **failing, page** |  | 2027-02-21 | 2027-01-22 | ca | 'secret/tls/e-wakes v2' | until '2026-12-23T12:00:00Z': failure 3 in a row |
| [d-fails](certificates/d-fails.json) | failing |  | - | - | - | - | CAA record for 'a¦b' forbids issuance |
| [c-off](certificates/c-off.json) | unmanaged |  | 2027-02-21 | - | ca | 'secret/tls/c-off v2' | renewal off since '2026-11-23' by Ann '<ann@example.com>', until '2026-12-23T12:00:00Z': migration |
| [f-nobody](certificates/f-nobody.json) | unmanaged |  | 2027-02-21 | - | ca | 'secret/tls/f-nobody v2' | renewal off since '2026-11-23', without an end, past its time to renew |
| [a-live](certificates/a-live.json) | live | 'a.example.com' | 2027-02-21 | 2027-01-22 | ca | 'secret/tls/a-live v2' |  |
| [b-gone](certificates/b-gone.json) | retired |  | 2027-02-21 | - | ca | 'secret/tls/b-gone v2' |  |

Written by certroll. The records are in 'certificates/', the history is in 'audit/'.
`
	want = strings.ReplaceAll(want, "'", "`")
	if page != want {
		t.Errorf("got\n%s\nwant\n%s", page, want)
	}
	long := strings.Repeat("the CA answered 400 [urn:ietf:params:acme:error:malformed]; ", 6) + "the end"
	page = string(statuspage.StatusPage(map[string]*ledger.Record{
		"held": {Certificate: "held", State: ledger.StateFailing, LastFailure: &ledger.Failure{At: reconciletest.Start, Class: ledger.ClassCARejected, Message: long}, Hold: &ledger.Hold{Until: until, Reason: "failure 2 in a row (ca_rejected): " + long}},
		"free": {Certificate: "free", State: ledger.StateFailing, LastFailure: &ledger.Failure{At: reconciletest.Start, Class: ledger.ClassCARejected, Message: long}},
	}, nil))
	for _, want := range []string{
		" | until `2026-12-23T12:00:00Z`: failure 2 in a row `(ca_rejected)`, see below |\n", " | failed `(ca_rejected)`, see below |\n",
		"\n## What fails\n\n- **free**, `ca_rejected` at 2026-11-23T12:00:00Z: the CA answered 400 `[urn:", "; the end\n\n- **held**, ", "; the end\n\nWritten by",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if empty := string(statuspage.StatusPage(nil, nil)); !strings.Contains(empty, "0 live, 0 failing, 0 retired.") {
		t.Errorf("empty:\n%s", empty)
	}
}

// TestStatusPageOfMany checks that the page of a ledger with thousands of certificates
// stays within the size that Git hosts render, and lists the most important ones.
func TestStatusPageOfMany(t *testing.T) {
	records := map[string]*ledger.Record{}
	for i := range 10_000 {
		name := fmt.Sprintf("c%05d", i)
		r := &ledger.Record{Certificate: name, State: ledger.StateLive, Live: &ledger.Live{NotAfter: reconciletest.Start.Add(90*times.Day - time.Duration(i)*time.Minute), Mount: "secret", Path: "tls/" + name}}
		if i == 42 {
			r.State, r.LastFailure = ledger.StateFailing, &ledger.Failure{At: reconciletest.Start, Class: ledger.ClassCAA, Message: "forbidden"}
		}
		records[name] = r
	}
	page := string(statuspage.StatusPage(records, nil))
	first, last := strings.Index(page, "| [c00042]"), strings.Index(page, "| [c09999]")
	if first < 0 || last < first {
		t.Errorf("what fails is at %d, what expires first at %d", first, last)
	}
	if n := strings.Count(page, "\n| ["); n != statuspage.MostRows || strings.Contains(page, "[c00001]") {
		t.Errorf("%d rows", n)
	}
	if !strings.Contains(page, "9999 live, 1 failing, 0 retired.") || !strings.Contains(page, "\nAnd 9500 more, in `certificates/`.") {
		t.Errorf("it does not say how many there are:\n%s", page[:200])
	}
}
