package page

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
)

const day24 = 24 * hour

// names returns the names of certificates, in order.
func names(list []*Certificate) []string {
	var s []string
	for _, c := range list {
		s = append(s, c.Name)
	}
	return s
}

// TestOrder: the page sorts by severity, then by expiry.
func TestOrder(t *testing.T) {
	p := New(ten(), noon)
	want := []string{"api", "mail", "pay", "vpn", "search", "legacy", "wiki", "internal", "registry", "shop", "grafana", "old"}
	if got := names(p.Certificates); !slices.Equal(got, want) {
		t.Errorf("the order is %v, want %v", got, want)
	}
	if want := []string{"mail", "network", "payments", "platform", "shop"}; !slices.Equal(p.Teams, want) {
		t.Errorf("teams %v, want %v", p.Teams, want)
	}
}

// TestState: record, plan and open problems determine a certificate's state.
func TestState(t *testing.T) {
	gone := live("a", "ca", 10*day24, 90*day24)
	gone.State = ledger.StateRetired
	off := live("a", "ca", 10*day24, 90*day24)
	off.RenewAt, off.Unmanaged = nil, &ledger.Unmanaged{}
	off70 := live("a", "ca", 70*day24, 90*day24)
	off70.RenewAt, off70.Unmanaged = nil, &ledger.Unmanaged{}
	late := live("a", "ca", 80*day24, 90*day24)
	soon := noon.Add(-hour)
	late.RenewAt = &soon
	due := live("a", "ca", 60*day24+hour, 90*day24)
	wait := &plan.Action{Kind: ledger.KindHold, Certificate: "a", Wants: ledger.KindRenew}
	stale := []ledger.Problem{{Operation: ledger.KindProbe, Finding: ledger.Finding{Certificates: []string{"a"}}}}
	ahead := []ledger.Problem{{Operation: ledger.KindDoctor, Finding: ledger.Finding{Certificates: []string{"a"}}}}
	revoked, deleted := live("a", "ca", 10*day24, 90*day24), live("a", "ca", 10*day24, 90*day24)
	revoked.Revoked, deleted.Gone = &ledger.Revoked{Serial: revoked.Live.Serial}, &ledger.Gone{}
	left := &plan.Action{Kind: ledger.KindRetire, Certificate: "a"}
	for name, tc := range map[string]struct {
		record *ledger.Record
		action *plan.Action
		open   []ledger.Problem
		want   ledger.State
	}{
		"revoked, without a plan":     {record: revoked, want: ledger.StateRevoked},
		"revoked, and wanted":         {record: revoked, action: &plan.Action{Certificate: "a", Spec: &spec.Certificate{}}, want: ledger.StateRevoked},
		"revoked, and left the spec":  {record: revoked, action: left, want: ledger.StateInOrder},
		"deleted, without a plan":     {record: deleted, want: ledger.StateDeleted},
		"in order":                    {record: live("a", "ca", 10*day24, 90*day24), want: ledger.StateInOrder},
		"a problem ahead":             {record: live("a", "ca", 10*day24, 90*day24), open: ahead, want: ledger.StateInOrder},
		"an endpoint shows another":   {record: live("a", "ca", 10*day24, 90*day24), open: stale, want: ledger.StateNotServed},
		"failing once":                {record: failing(live("a", "ca", 70*day24, 90*day24), 1, ledger.ClassCAA, "no", hour), want: ledger.StateFailing},
		"failing, and not served":     {record: failing(live("a", "ca", 70*day24, 90*day24), 1, ledger.ClassCAA, "no", hour), open: stale, want: ledger.StateFailing},
		"failing often":               {record: failing(live("a", "ca", 70*day24, 90*day24), 3, ledger.ClassCAA, "no", hour), want: ledger.StatePaging},
		"over":                        {record: live("a", "ca", 90*day24, 90*day24), want: ledger.StateExpired},
		"over this very second":       {record: live("a", "ca", 90*day24-time.Second, 90*day24), want: ledger.StateExpired},
		"due":                         {record: due, want: ledger.StateDue},
		"due, and held":               {record: due, action: wait, want: ledger.StateHeld},
		"due for long":                {record: live("a", "ca", 85*day24, 90*day24), want: ledger.StateOverdue},
		"turned off":                  {record: off, want: ledger.StateUnmanaged},
		"turned off, near its end":    {record: off70, want: ledger.StateExpiring},
		"late, and held":              {record: late, action: wait, want: ledger.StateExpiring},
		"gone":                        {record: gone, want: ledger.StateRetired},
		"nothing yet":                 {action: &plan.Action{Kind: ledger.KindIssue, Certificate: "a"}, want: ledger.StateMissing},
		"gone before it was issued":   {action: &plan.Action{Kind: ledger.KindRetire, Certificate: "a"}, want: ledger.StateRetired},
		"nothing yet, and it is held": {action: wait, want: ledger.StateHeld},
	} {
		t.Run(name, func(t *testing.T) {
			if got := newCertificate(tc.record, tc.action, tc.open, noon).State; got != tc.want {
				t.Errorf("it is %q, want %q", got, tc.want)
			}
		})
	}
}

// TestPick: a filter selects the expected certificates, and its query string decodes to the same filter.
func TestPick(t *testing.T) {
	p := New(ten(), noon)
	for name, tc := range map[string]struct {
		f    Filter
		want []string
	}{
		"a word":                 {Filter{Text: "WIKI"}, []string{"wiki"}},
		"a domain":               {Filter{Text: "pay.shop"}, []string{"shop"}},
		"two words":              {Filter{Text: "example.com gts"}, []string{"legacy"}},
		"a failure's class":      {Filter{Text: "dns_unauthorized"}, []string{"mail"}},
		"nothing":                {Filter{Text: "nowhere"}, nil},
		"a label":                {Filter{Label: "env=staging"}, []string{"internal"}},
		"two labels":             {Filter{Label: "env=prod, team=shop"}, []string{"legacy", "shop"}},
		"a label's key":          {Filter{Label: "team", Team: "mail"}, []string{"mail"}},
		"a label with no value":  {Filter{Label: "env="}, nil},
		"a team":                 {Filter{Team: "network"}, []string{"vpn"}},
		"an issuer":              {Filter{Issuer: "step"}, []string{"pay", "internal"}},
		"a state":                {Filter{State: ledger.StatePaging}, []string{"api"}},
		"an action":              {Filter{Action: "hold"}, []string{"api", "mail"}},
		"any action":             {Filter{Action: AnyAction}, []string{"api", "mail", "search", "wiki"}},
		"in the order of names":  {Filter{Team: "platform", Sort: "name"}, []string{"api", "grafana", "internal", "registry", "wiki"}},
		"in the order of expiry": {Filter{Team: "platform", Sort: "expires"}, []string{"internal", "api", "wiki", "registry", "grafana"}},
	} {
		t.Run(name, func(t *testing.T) {
			picked, _ := p.Pick(tc.f)
			if got := names(picked); !slices.Equal(got, tc.want) {
				t.Errorf("it leaves %v, want %v", got, tc.want)
			}
			tc.f.Page = 3
			if back := ParseFilter(queryOf(t, tc.f)); back != tc.f {
				t.Errorf("%s is read as %+v, want %+v", tc.f.Query(), back, tc.f)
			}
		})
	}
	picked, totals := p.Pick(Filter{State: ledger.StateFailing})
	if len(picked) != 1 || totals[ledger.StatePaging] != 1 || totals[ledger.StateInOrder] != 4 {
		t.Errorf("%v, of %v: the totals are to be those of all states", names(picked), totals)
	}
}

// TestFilterIsBounded: the number of comparisons per certificate is bounded, however long the query string.
func TestFilterIsBounded(t *testing.T) {
	text, labels := strings.Repeat("e ", 10_000), strings.Repeat("team,", 10_000)
	for i := range 1000 {
		text += fmt.Sprint("word", i, " ")
		labels += fmt.Sprint("label", i, ",")
	}
	if m := newMatcher(Filter{Text: text, Label: labels}); len(m.words) != mostParts || len(m.labels) > mostParts {
		t.Errorf("%d words and %d labels are looked for", len(m.words), len(m.labels))
	}
}

// TestPages: each certificate is on exactly one page.
func TestPages(t *testing.T) {
	p := New(many(2*perPage+1), noon)
	seen := map[string]bool{}
	f := ParseFilter(nil)
	for n := 0; ; n++ {
		v := p.index(layout{}, f)
		for _, r := range v.Rows {
			seen[r.Name] = true
		}
		if v.Nxt == "" {
			if n != 2 || v.From != 2*perPage+1 || v.To != 2*perPage+1 || len(seen) != 2*perPage+1 {
				t.Errorf("page %d, %d to %d, %d certificates", n+1, v.From, v.To, len(seen))
			}
			break
		}
		f.Page++
	}
	f.Page = 1 << 40
	if v := p.index(layout{}, f); v.Filter.Page != 3 || len(v.Rows) != 1 {
		t.Errorf("far beyond the last page is page %d with %d rows", v.Filter.Page, len(v.Rows))
	}
}

// TestPauseIsOver: the record of a certificate that became due at the end of its pause has no renewal time.
func TestPauseIsOver(t *testing.T) {
	ended := noon.Add(-30 * day24)
	r := live("a", "ca", 60*day24, 90*day24)
	r.RenewAt, r.Unmanaged = nil, &ledger.Unmanaged{Until: &ended}
	v := New(Input{Records: []*ledger.Record{r}}, noon).index(layout{}, Filter{})
	if len(v.Rows) != 1 || v.Rows[0].State != ledger.StateOverdue {
		t.Fatalf("it is %+v", v.Rows)
	}
	if note := v.Rows[0].Note(); note != "due since 2026-10-26 12:00:00 UTC, but certroll has not tried" {
		t.Errorf("its note is %q", note)
	}
}

// TestRowOfDeleted: the row of a deleted secret shows the command that restores it, and not also that its renewal
// fails.
func TestRowOfDeleted(t *testing.T) {
	r := failing(live("a", "ca", 10*day24, 90*day24), 1, ledger.ClassCAUnavailable, "dialling: connection refused", hour)
	r.Gone = &ledger.Gone{Version: 3, At: noon}
	a := holds(r)
	v := New(Input{Records: []*ledger.Record{r}, Actions: []plan.Action{a}}, noon).index(layout{}, Filter{})
	if row := v.Rows[0]; row.State != ledger.StateDeleted || !strings.Contains(row.Note(), "vault kv undelete -mount=secret -versions=3 tls/a") || row.Marks()[0] != "ca_unavailable" {
		t.Errorf("%s: %v %q", row.State, row.Marks(), row.Note())
	}
}

// TestBar checks the positions on the time line.
func TestBar(t *testing.T) {
	c := newCertificate(suggested(live("a", "ca", 0, 90*day24)), nil, nil, noon)
	s := newScale([]*Certificate{c}, noon)
	if s.span != 90*day24 {
		t.Fatalf("the time line is %v long", s.span)
	}
	b := s.bar(c)
	if b.Until != "100.00%" || b.Window != "65.00%" || b.Of != "2.00%" || b.Renew != "66.00%" || b.Beyond {
		t.Errorf("%+v", b)
	}
	// A single certificate with a lifetime of years does not compress the time line.
	list := []*Certificate{newCertificate(live("ten years", "ca", 0, 3650*day24), nil, nil, noon)}
	for range 39 {
		list = append(list, c)
	}
	if s := newScale(list, noon); s.span != 90*day24 {
		t.Errorf("one of forty makes the time line %v long", s.span)
	} else if b := s.bar(list[0]); !b.Beyond || b.Until != "100.00%" {
		t.Errorf("what ends beyond it: %+v", b)
	}
	// A non-linear time line has room for an hour next to 90 days.
	bent := scale{from: noon, span: 90 * day24, bent: true}
	hourly := bent.bar(newCertificate(live("an hour", "ca", 0, hour), nil, nil, noon))
	if hourly.Until != "7.74%" || hourly.Renew != "6.76%" || bent.bar(c).Until != "100.00%" {
		t.Errorf("an hour beside 90 days: %+v", hourly)
	}
	var labels []string
	for _, at := range bent.ticks() {
		labels = append(labels, at.Label)
	}
	if got := strings.Join(labels, " "); got != "1 h 6 h 1 d 3 d 7 d 14 d 30 d 60 d" {
		t.Errorf("its ticks are %s", got)
	}
	if b := s.bar(newCertificate(live("over", "ca", 90*day24, 90*day24), nil, nil, noon)); b != (bar{}) {
		t.Errorf("what is over has a line: %+v", b)
	}
}

// TestHistoriesOfRenamed: events under a former name appear on the page of the new name, up to the rename, and on no
// other page.
func TestHistoriesOfRenamed(t *testing.T) {
	r := live("web", "ca", 0, 90*day24)
	r.Formerly = []ledger.Former{{Name: "api", Until: noon}}
	at := func(name string, kind ledger.Kind, hours int) ledger.Event {
		return ledger.Event{Certificate: name, Operation: kind, Time: noon.Add(time.Duration(hours) * time.Hour)}
	}
	events := []ledger.Event{
		at("api", ledger.KindIssue, -2), at("api", ledger.KindRetire, 0), at("web", ledger.KindAdopt, 0), at("api", ledger.KindIssue, 1), at("other", ledger.KindIssue, -1),
	}
	history := New(Input{Records: []*ledger.Record{r}}, noon).Histories(events)
	if h := history("web").Events; len(h) != 2 || h[0].Operation != ledger.KindAdopt || h[1].Operation != ledger.KindIssue {
		t.Errorf("the history is %+v", h)
	}
	if h := history("other").Events; len(h) != 1 {
		t.Errorf("the history of another one is %+v", h)
	}
}

// TestFiles: every link in the exported files leads to an existing file, and the files contain what the server shows.
func TestFiles(t *testing.T) {
	for name, in := range map[string]Input{"ten": ten(), "more than a page": many(perPage + 1), "none": {}} {
		t.Run(name, func(t *testing.T) {
			events, err := archive.Query{}.Events(story(t, "api"))
			if err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			p := New(in, noon)
			if err := p.Files(p.Histories(events), func(name string, b []byte) error {
				files[name] = string(b)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			links := regexp.MustCompile(`(?:href|src)="([^"#]*)[#"]`)
			for name, body := range files {
				if !strings.HasSuffix(name, ".html") {
					continue
				}
				for _, m := range links.FindAllStringSubmatch(body, -1) {
					to, err := url.PathUnescape(m[1])
					if err != nil {
						t.Fatal(err)
					}
					if to = path.Join(path.Dir(name), to); m[1] != "" && files[to] == "" {
						t.Errorf("%s leads to %s, which is not there", name, m[1])
					}
				}
				if strings.Contains(body, "?q=") || strings.Contains(body, "EventSource") {
					t.Errorf("%s needs a server", name)
				}
			}
			if api := files["certificates/api.html"]; name == "ten" && (!strings.Contains(api, prevented) || !strings.Contains(api, "03a1b2c3d4e5f60718293a4b5c6d7e8f9012")) {
				t.Errorf("the page of api lacks its failure or its events:\n%s", api)
			}
		})
	}
}
