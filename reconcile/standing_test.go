package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestStands(t *testing.T) {
	at := func(d time.Duration) *time.Time { return &[]time.Time{start.Add(d)}[0] }
	cases := map[string]struct {
		record Record
		after  time.Duration
		want   Standing
		next   Reason
	}{
		"fresh":               {record: Record{State: StateLive, RenewAt: at(60 * day)}, want: StandsInOrder, next: ReasonThreshold},
		"due":                 {record: Record{State: StateLive, RenewAt: at(60 * day)}, after: 60 * day, want: StandsDue, next: ReasonThreshold},
		"due for two days":    {record: Record{State: StateLive, RenewAt: at(60 * day)}, after: 62 * day, want: StandsDue, next: ReasonThreshold},
		"due for three days":  {record: Record{State: StateLive, RenewAt: at(60 * day)}, after: 63 * day, want: StandsOverdue, next: ReasonThreshold},
		"an hour at least":    {record: Record{State: StateLive, RenewAt: at(90*day - 2*time.Hour)}, after: 90*day - 61*time.Minute, want: StandsDue, next: ReasonThreshold},
		"failing":             {record: Record{State: StateFailing, RenewAt: at(60 * day), Failures: 1}, after: 70 * day, want: StandsFailing, next: ReasonThreshold},
		"paging":              {record: Record{State: StateFailing, Severity: SeverityPage, Failures: 3}, want: StandsPaging},
		"nobody renews it":    {record: Record{State: StateLive, Unmanaged: &Unmanaged{Since: start}}, after: 80 * day, want: StandsUnmanaged},
		"an older record":     {record: Record{State: StateLive}, want: StandsUnmanaged},
		"a pause":             {record: Record{State: StateLive, Unmanaged: &Unmanaged{Until: at(10 * day)}}, after: 9 * day, want: StandsUnmanaged},
		"a pause that ended":  {record: Record{State: StateLive, Unmanaged: &Unmanaged{Until: at(10 * day)}}, after: 10 * day, want: StandsDue},
		"and nobody noticed":  {record: Record{State: StateLive, Unmanaged: &Unmanaged{Until: at(10 * day)}}, after: 20 * day, want: StandsOverdue},
		"retired":             {record: Record{State: StateRetired, RenewAt: nil}, after: 100 * day, want: StandsRetired},
		"by the CA's window":  {record: Record{State: StateLive, RenewAt: at(50 * day), RenewalInfo: &RenewalInfo{Serial: "a1", RenewAt: *at(50 * day), End: *at(51 * day)}}, want: StandsInOrder, next: ReasonWindow},
		"the CA wants it new": {record: Record{State: StateLive, RenewAt: at(5 * day), RenewalInfo: &RenewalInfo{Serial: "a1", RenewAt: *at(5 * day), End: *at(6 * day), CheckedAt: *at(7 * day)}}, after: 5 * day, want: StandsDue, next: ReasonRevoking},
		"another's window":    {record: Record{State: StateLive, RenewAt: at(50 * day), RenewalInfo: &RenewalInfo{Serial: "b2", RenewAt: *at(50 * day)}}, want: StandsInOrder, next: ReasonThreshold},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := tc.record
			r.Live = &Live{Serial: "a1", NotBefore: start, NotAfter: start.Add(90 * day)}
			if got := r.Stands(start.Add(tc.after)); got != tc.want {
				t.Errorf("it stands %s, want %s", got, tc.want)
			}
			if got := r.NextBy(); got != tc.next {
				t.Errorf("renewed by %q, want %q", got, tc.next)
			}
		})
	}
}

func TestStatusPage(t *testing.T) {
	until, renews := start.Add(30*day), start.Add(60*day)
	live := func(name string) *Live {
		return &Live{Serial: "a1", NotAfter: start.Add(90 * day), Issuer: "ca", Mount: "secret", Path: "tls/" + name, Version: 2}
	}
	failed := &Failure{At: start, Class: ClassCAA, Message: "CAA record for a|b\nforbids issuance"}
	page := string(statusPage(map[string]*Record{
		"a-live":   {Certificate: "a-live", State: StateLive, Names: []string{"a.example.com"}, Live: live("a-live"), RenewAt: &renews},
		"b-gone":   {Certificate: "b-gone", State: StateRetired, Live: live("b-gone")},
		"c-off":    {Certificate: "c-off", State: StateLive, Live: live("c-off"), Unmanaged: &Unmanaged{Since: start, Until: &until, By: "Ann <ann@example.com>", Reason: "migration"}},
		"d-fails":  {Certificate: "d-fails", State: StateFailing, LastFailure: failed, Failures: 1},
		"e-wakes":  {Certificate: "e-wakes", State: StateFailing, Severity: SeverityPage, Live: live("e-wakes"), RenewAt: &renews, LastFailure: failed, Hold: &Hold{Until: until, Reason: "failure 3 in a row"}},
		"f-nobody": {Certificate: "f-nobody", State: StateLive, Live: live("f-nobody"), Unmanaged: &Unmanaged{Since: start, Overdue: true}},
	}, nil))
	want := `# Certificates

3 live (2 unmanaged), 2 failing (1 paging), 1 retired.

| certificate | state | names | expires | renews | issuer | Vault | what it waits for |
|---|---|---|---|---|---|---|---|
| [e-wakes](certificates/e-wakes.json) | **failing, page** |  | 2027-02-21 | 2027-01-22 | ca | secret/tls/e-wakes v2 | until 2026-12-23T12:00:00Z: failure 3 in a row |
| [d-fails](certificates/d-fails.json) | failing |  | - | - | - | - | CAA record for a\|b forbids issuance |
| [c-off](certificates/c-off.json) | unmanaged |  | 2027-02-21 | - | ca | secret/tls/c-off v2 | renewal off since 2026-11-23 by Ann &lt;ann@example.com>, until 2026-12-23T12:00:00Z: migration |
| [f-nobody](certificates/f-nobody.json) | unmanaged |  | 2027-02-21 | - | ca | secret/tls/f-nobody v2 | renewal off since 2026-11-23, without an end, past its time to renew |
| [a-live](certificates/a-live.json) | live | a.example.com | 2027-02-21 | 2027-01-22 | ca | secret/tls/a-live v2 |  |
| [b-gone](certificates/b-gone.json) | retired |  | 2027-02-21 | - | ca | secret/tls/b-gone v2 |  |

Written by certroll. The records are in ` + "`certificates/`, the history is in `audit/`.\n"
	if page != want {
		t.Errorf("got\n%s\nwant\n%s", page, want)
	}
	long := strings.Repeat("the CA answered 400 [urn:ietf:params:acme:error:malformed]; ", 6) + "the end"
	page = string(statusPage(map[string]*Record{
		"held": {Certificate: "held", State: StateFailing, LastFailure: &Failure{At: start, Class: ClassCARejected, Message: long}, Hold: &Hold{Until: until, Reason: "failure 2 in a row (ca_rejected): " + long}},
		"free": {Certificate: "free", State: StateFailing, LastFailure: &Failure{At: start, Class: ClassCARejected, Message: long}},
	}, nil))
	for _, want := range []string{
		" | until 2026-12-23T12:00:00Z: failure 2 in a row (ca_rejected), see below |\n", " | failed (ca_rejected), see below |\n",
		"\n## What fails\n\n- **free**, ca_rejected at 2026-11-23T12:00:00Z: the CA answered 400 \\[urn:", "; the end\n\n- **held**, ", "; the end\n\nWritten by",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if empty := string(statusPage(nil, nil)); !strings.Contains(empty, "0 live, 0 failing, 0 retired.") {
		t.Errorf("empty:\n%s", empty)
	}
}

// TestStatusPageOfMany: a page of thousands is no longer than one that a host
// shows, and has what matters most.
func TestStatusPageOfMany(t *testing.T) {
	records := map[string]*Record{}
	for i := range 10_000 {
		name := fmt.Sprintf("c%05d", i)
		r := &Record{Certificate: name, State: StateLive, Live: &Live{NotAfter: start.Add(90*day - time.Duration(i)*time.Minute), Mount: "secret", Path: "tls/" + name}}
		if i == 42 {
			r.State, r.LastFailure = StateFailing, &Failure{At: start, Class: ClassCAA, Message: "forbidden"}
		}
		records[name] = r
	}
	page := string(statusPage(records, nil))
	first, last := strings.Index(page, "| [c00042]"), strings.Index(page, "| [c09999]")
	if first < 0 || last < first {
		t.Errorf("what fails is at %d, what expires first at %d", first, last)
	}
	if n := strings.Count(page, "\n| ["); n != mostRows || strings.Contains(page, "[c00001]") {
		t.Errorf("%d rows", n)
	}
	if !strings.Contains(page, "9999 live, 1 failing, 0 retired.") || !strings.Contains(page, "\nAnd 9500 more, in `certificates/`.") {
		t.Errorf("it does not say how many there are:\n%s", page[:200])
	}
}
