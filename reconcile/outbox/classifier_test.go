package outbox_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/limiter"
	"certroll/reconcile/outbox"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
)

// story numbers events and dates them one hour apart.
func story(events ...ledger.Event) []ledger.Event {
	for i := range events {
		events[i].Schema, events[i].ID = ledger.EventSchema, fmt.Sprintf("e%d", i)
		if events[i].Time.IsZero() {
			events[i].Time = reconciletest.NoticeAt.Add(time.Duration(i) * time.Hour)
		}
	}
	return events
}

func failedTimes(name string, n int) ledger.Event {
	return ledger.Event{Operation: ledger.KindRenew, Status: ledger.Failed, Certificate: name, Class: ledger.ClassDNSUnauthorized, DNSAccount: "a", Issuer: "le", Failures: n, Message: "REFUSED"}
}

func renewedAfter(name string, failures int) ledger.Event {
	return ledger.Event{Operation: ledger.KindRenew, Status: ledger.Success, Certificate: name, Issuer: "le", DNSAccount: "a", Recovered: failures}
}

func heldBy(s ledger.Subject, at time.Time, names ...string) ledger.Event {
	e := ledger.HeldEvent(at, s, ledger.ReasonBreaker, "it fails for many", ledger.ClassDNSUnauthorized, "REFUSED")
	e.Concerns(names)
	return e
}

// TestNotices checks which events become notices; each word of the table is one notice.
func TestNotices(t *testing.T) {
	cases := map[string]struct {
		events []ledger.Event
		want   []string // "index kind kind ..."
	}{
		"issued":                      {story(ledger.Event{Operation: ledger.KindIssue, Status: ledger.Success}), []string{"0 issued"}},
		"reissued":                    {story(ledger.Event{Operation: ledger.KindReissue, Status: ledger.Success, Reason: ledger.ReasonChanged}), []string{"0 issued"}},
		"renewed":                     {story(ledger.Event{Operation: ledger.KindRenew, Status: ledger.Success}), []string{"0 renewed"}},
		"rotated and revoked":         {story(ledger.Event{Operation: ledger.KindRotate, Status: ledger.Success, Revoked: "1f"}), []string{"0 revoked renewed"}},
		"revoked later":               {story(ledger.Event{Operation: ledger.KindRevoke, Status: ledger.Success, Revoked: "1f"}), []string{"0 revoked"}},
		"one problem":                 {story(failedTimes("x", 1), failedTimes("x", 2), failedTimes("x", 3), failedTimes("x", 4), renewedAfter("x", 4)), []string{"0 failing", "2 paging", "4 recovered renewed"}},
		"refused to protect":          {story(ledger.Event{Operation: ledger.KindAdopt, Status: ledger.Denied, Reason: ledger.ReasonForeign, Failures: 1}), []string{"0 failing"}},
		"what fails is not asked for": {story(failedTimes("x", 1), ledger.Event{Operation: ledger.KindRetire, Status: ledger.Success, Recovered: 1}), []string{"0 failing", "1 recovered"}},
		"a person's retry":            {story(failedTimes("x", 1), ledger.Event{Operation: ledger.KindRetry, Status: ledger.Success, Failures: 1}), []string{"0 failing"}},
		"overwritten":                 {story(ledger.Event{Operation: ledger.KindRepair, Status: ledger.Success, Reason: ledger.ReasonDrifted}), []string{"0 tampered"}},
		"deleted":                     {story(ledger.Event{Operation: ledger.KindIssue, Status: ledger.Success, Reason: ledger.ReasonDeleted}), []string{"0 tampered issued"}},
		"a record behind":             {story(ledger.Event{Operation: ledger.KindRepair, Status: ledger.Success, Reason: ledger.ReasonBehind}), nil},
		"adopted":                     {story(ledger.Event{Operation: ledger.KindAdopt, Status: ledger.Success}), nil},
		"rewound":                     {story(ledger.Event{Operation: ledger.KindNote, Status: ledger.Failed, Reason: ledger.ReasonRewound}), []string{"0 tampered"}},
		"turned off":                  {story(ledger.Event{Operation: ledger.KindNote, Status: ledger.Success, Reason: ledger.ReasonPauseBegan}), nil},
		"due and off":                 {story(ledger.Event{Operation: ledger.KindNote, Status: ledger.Held, Reason: ledger.ReasonOverdue}), []string{"0 held"}},
		"expiring":                    {story(ledger.Event{Operation: ledger.KindNote, Status: ledger.Held, Reason: ledger.ReasonExpiring}), []string{"0 expiring"}},
		"a bad revision":              {story(ledger.Event{Operation: ledger.KindConfig, Status: ledger.Failed, Reason: ledger.ReasonRefused}, ledger.Event{Operation: ledger.KindConfig, Status: ledger.Success, Reason: ledger.ReasonTaken}), []string{"0 refused", "1 resolved"}},
		"an unsigned revision":        {story(ledger.Event{Operation: ledger.KindConfig, Status: ledger.Denied, Reason: ledger.ReasonUnsigned}, ledger.Event{Operation: ledger.KindConfig, Status: ledger.Success, Reason: ledger.ReasonAccepted}), []string{"0 tampered"}},
		"an outage":                   {story(ledger.Event{Operation: ledger.KindPass, Status: ledger.Failed}, ledger.Event{Operation: ledger.KindPass, Status: ledger.Success}), []string{"0 problem", "1 resolved"}},
		"found ahead":                 {story(ledger.Event{Operation: ledger.KindDoctor, Status: ledger.Failed}, ledger.Event{Operation: ledger.KindDoctor, Status: ledger.Success}), []string{"0 problem", "1 resolved"}},
		"found of what fails": {story(failedTimes("x", 1), ledger.Event{Operation: ledger.KindDoctor, Status: ledger.Failed, Certificate: "x", Class: ledger.ClassDNSUnauthorized, DNSAccount: "a"}, renewedAfter("x", 1),
			ledger.Event{Operation: ledger.KindDoctor, Status: ledger.Success, Certificate: "x", Class: ledger.ClassDNSUnauthorized, DNSAccount: "a"}), []string{"0 failing", "2 recovered renewed"}},
		"found of another": {story(failedTimes("x", 1), ledger.Event{Operation: ledger.KindDoctor, Status: ledger.Failed, Certificate: "x", Class: ledger.ClassCAA}), []string{"0 failing", "1 problem"}},
		"not served":       {story(ledger.Event{Operation: ledger.KindProbe, Status: ledger.Failed}, ledger.Event{Operation: ledger.KindProbe, Status: ledger.Success}), []string{"0 problem", "1 resolved"}},
		"served to its end": {story(ledger.Event{Operation: ledger.KindProbe, Status: ledger.Failed, Class: ledger.ClassStale}, ledger.Event{Operation: ledger.KindProbe, Status: ledger.Failed, Class: ledger.ClassExpired, Severity: ledger.SeverityPage},
			ledger.Event{Operation: ledger.KindProbe, Status: ledger.Success, Class: ledger.ClassExpired}), []string{"0 problem", "1 paging problem", "2 resolved"}},
		"held for days": {story(heldBy("dns.a", reconciletest.NoticeAt, "y"), heldBy("dns.a", reconciletest.NoticeAt.Add(times.Day), "y", "z"), heldBy("dns.a", reconciletest.NoticeAt.Add(2*times.Day), "y"), ledger.Event{Operation: ledger.KindRenew, Status: ledger.Success, Issuer: "le", DNSAccount: "a", Certificate: "y", Time: reconciletest.NoticeAt.Add(2*times.Day + time.Hour)}),
			[]string{"0 held", "3 renewed", "3 resolved"}},
		"held again after a week":   {story(heldBy("dns.a", reconciletest.NoticeAt, "y"), heldBy("dns.a", reconciletest.NoticeAt.Add(7*times.Day), "y")), []string{"0 held", "1 held"}},
		"held by a clock ahead":     {story(heldBy("dns.a", reconciletest.NoticeAt.AddDate(1, 0, 0), "y"), heldBy("dns.a", reconciletest.NoticeAt, "y"), heldBy("dns.a", reconciletest.NoticeAt.Add(times.Day), "y")), []string{"0 held", "1 held"}},
		"fails after a clock ahead": {story(heldBy("dns.a", reconciletest.NoticeAt.AddDate(1, 0, 0), "y"), failedTimes("x", 1)), []string{"0 held", "1 failing"}},
		"another account works":     {story(heldBy("dns.a", reconciletest.NoticeAt, "y"), ledger.Event{Operation: ledger.KindRenew, Status: ledger.Success, Issuer: "le", DNSAccount: "b"}), []string{"0 held", "1 renewed"}},
		"probes of what is held": {story(failedTimes("x", 1), heldBy("dns.a", reconciletest.NoticeAt, "y", "z"), failedTimes("y", 1), failedTimes("y", 2), failedTimes("x", 3), failedTimes("y", 3)),
			[]string{"0 failing", "1 held", "4 paging"}},
		"fails on after a hold": {story(heldBy("dns.a", reconciletest.NoticeAt, "y", "z"), failedTimes("y", 1), failedTimes("z", 2), failedTimes("z", 3), failedTimes("y", 3), renewedAfter("z", 3),
			func() ledger.Event { e := failedTimes("y", 4); e.Class = ledger.ClassCAA; return e }(), failedTimes("y", 5)), []string{"0 held", "3 paging", "5 recovered renewed", "5 resolved", "6 paging"}},
		"a word of the CA meanwhile": {story(failedTimes("y", 1), failedTimes("y", 2), failedTimes("y", 3), ledger.Event{Operation: ledger.KindNote, Status: ledger.Success, Certificate: "y", Reason: ledger.ReasonSuggested},
			failedTimes("y", 4), ledger.Event{Operation: ledger.KindDoctor, Status: ledger.Failed, Certificate: "y", Class: ledger.ClassDNSUnauthorized, DNSAccount: "a"}), []string{"0 failing", "2 paging"}},
		"a limit states its own end": {story(func() ledger.Event {
			e := ledger.HeldEvent(reconciletest.NoticeAt, "issuer.le", ledger.ReasonLimit, "", "", "")
			return e
		}(), renewedAfter("x", 0)), []string{"0 held", "1 renewed"}},
		"others that cannot be looked at": {story(limiter.UnreadableEvent(reconciletest.NoticeAt, []string{"x"}, ""), limiter.UnreadableEvent(reconciletest.NoticeAt, []string{"x", "y"}, ""), limiter.UnreadableEvent(reconciletest.NoticeAt.Add(times.Day), []string{"x", "y"}, "")), []string{"0 held", "1 held"}},
		"a word that came later":          {story(ledger.Event{Operation: "later", Status: ledger.Success}), nil},
	}
	covered := map[outbox.NoticeKind]bool{}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range outbox.Notices(tc.events, 0) {
				text := n.Event.ID[1:]
				for _, k := range n.Kinds {
					text += " " + string(k)
					covered[k] = true
				}
				got = append(got, text)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("told: %q, want %q", got, tc.want)
			}
		})
	}
	for _, k := range outbox.NoticeKinds {
		if !covered[k] {
			t.Errorf("no event is told as %q", k)
		}
	}
	if all := reconciletest.Constants(t, "..", "NoticeKind")["NoticeKind"]; len(all) != len(outbox.NoticeKinds) {
		t.Errorf("there are the kinds %v, and NoticeKinds has %v", all, outbox.NoticeKinds)
	}
}

// TestNoticesAfter checks that earlier events count as known and are not sent again.
func TestNoticesAfter(t *testing.T) {
	events := story(heldBy("dns.a", reconciletest.NoticeAt, "x", "y"), heldBy("dns.a", reconciletest.NoticeAt.Add(times.Day), "y"), failedTimes("y", 1))
	events[2].Time = reconciletest.NoticeAt.Add(times.Day + time.Hour)
	if got := outbox.Notices(events, 1); len(got) != 0 {
		t.Errorf("told: %v", got)
	}
}

// TestNoticesForeseen checks that the notice of a failure mentions that doctor found
// the same problem before, unless that problem was gone meanwhile. An account's problem
// counts for all its certificates.
func TestNoticesForeseen(t *testing.T) {
	found := func(class ledger.Class, name string, status ledger.Status) ledger.Event {
		return ledger.Event{Operation: ledger.KindDoctor, Status: status, Certificate: name, Class: class, DNSAccount: "a"}
	}
	caa := failedTimes("x", 1)
	caa.Class, caa.DNSAccount = ledger.ClassCAA, "b"
	for name, tc := range map[string]struct {
		events []ledger.Event
		want   bool
	}{
		"the account of another":     {[]ledger.Event{found(ledger.ClassDNSUnauthorized, "y", ledger.Failed), failedTimes("x", 1)}, true},
		"held for many":              {[]ledger.Event{found(ledger.ClassDNSUnauthorized, "y", ledger.Failed), heldBy("dns.a", reconciletest.NoticeAt, "x")}, true},
		"it was gone meanwhile":      {[]ledger.Event{found(ledger.ClassDNSUnauthorized, "y", ledger.Failed), found(ledger.ClassDNSUnauthorized, "y", ledger.Success), failedTimes("x", 1)}, false},
		"its own names":              {[]ledger.Event{found(ledger.ClassCAA, "x", ledger.Failed), caa}, true},
		"names of another":           {[]ledger.Event{found(ledger.ClassCAA, "y", ledger.Failed), caa}, false},
		"another class":              {[]ledger.Event{found(ledger.ClassCAA, "x", ledger.Failed), failedTimes("x", 1)}, false},
		"nothing was found before":   {[]ledger.Event{failedTimes("x", 1)}, false},
		"a success is no such thing": {[]ledger.Event{found(ledger.ClassDNSUnauthorized, "y", ledger.Failed), renewedAfter("x", 1)}, false},
	} {
		notices := outbox.Notices(story(tc.events...), 0)
		if got := !notices[len(notices)-1].Foreseen.IsZero(); got != tc.want {
			t.Errorf("%s: foreseen %v, want %v", name, got, tc.want)
		}
	}
}

// TestNoticesAreBounded checks that a foreign event cannot make a notice that every
// receiver rejects, and that certroll's own events are sent in full.
func TestNoticesAreBounded(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	for name, e := range map[string]ledger.Event{
		"words":  {Operation: ledger.KindRenew, Status: ledger.Failed, Certificate: "x", Failures: 1, Message: huge, Detail: huge},
		"fields": {Operation: ledger.Kind(huge), Status: ledger.Failed, Certificate: huge, Failures: 1, Class: ledger.Class(huge), Issuer: huge, Actor: huge},
		"names":  {Operation: ledger.KindDoctor, Status: ledger.Failed, Certificates: numberedNames(100000)},
		"holds":  heldBy(ledger.Subject(huge), reconciletest.NoticeAt, numberedNames(100)...),
	} {
		for _, n := range outbox.Notices(story(e), 0) {
			b, err := json.Marshal(n)
			if err != nil || len(b) > 2*outbox.MostEvent || n.Event.ID != "e0" {
				t.Errorf("%s: a notice of %d bytes, %v", name, len(b), err)
			}
		}
	}
	own := ledger.Event{Operation: ledger.KindIssue, Status: ledger.Failed, Certificate: "x", Failures: 1, Names: numberedNames(100), Message: strings.Repeat("no ", 1000), FailedNames: numberedNames(100)}
	if n := outbox.Notices(story(own), 0)[0]; n.Event.Message != own.Message || len(n.Event.Names) != 100 {
		t.Errorf("certroll's own event is cut: %+v", n)
	}
}

// TestGather checks that simultaneous notices with one cause form one message, and that
// too many separate messages become one.
func TestGather(t *testing.T) {
	everything := outbox.Interest{On: outbox.NoticeKinds}
	var many []ledger.Event
	for i := range 60 {
		many = append(many, failedTimes(fmt.Sprintf("c%d", i), 1))
	}
	caa := func(name, message string) ledger.Event {
		return ledger.Event{Operation: ledger.KindIssue, Status: ledger.Failed, Certificate: name, Issuer: "le", Class: ledger.ClassCAA, Failures: 1, Message: message}
	}
	cases := map[string]struct {
		events []ledger.Event
		want   []string
	}{
		"sixty of one account": {many, []string{"failing 60"}},
		"another cause":        {append(slices.Clone(many[:2]), caa("x", "CAA of x.example forbids it")), []string{"failing 2", "failing 1"}},
		"two of their own":     {[]ledger.Event{caa("x", "CAA of x.example forbids it"), caa("y", "CAA of y.example forbids it")}, []string{"failing 1", "failing 1"}},
		"back together":        {[]ledger.Event{renewedAfter("x", 1), renewedAfter("y", 4)}, []string{"recovered 2"}},
		"in order of coming":   {[]ledger.Event{failedTimes("x", 1), renewedAfter("x", 1), failedTimes("x", 1)}, []string{"failing 2", "recovered 1"}},
		"days of it": {[]ledger.Event{renewedAfter("w", 0), failedTimes("x", 1), caa("a", "one"), caa("b", "two"), caa("c", "three"), caa("d", "four")},
			[]string{"digest 6"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, b := range outbox.Group(outbox.Notices(story(tc.events...), 0), everything, nil) {
				got = append(got, fmt.Sprintf("%s %d", b.Kind, len(b.Notices)))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("told: %q, want %q", got, tc.want)
			}
		})
	}
	d := outbox.Group(outbox.Notices(story(cases["days of it"].events...), 0), everything, nil)[0]
	if first, last := d.Notices[0].Kinds[0], d.Notices[5].Kinds[0]; first != outbox.NoticeFailing || last != outbox.NoticeRenewed {
		t.Errorf("the digest begins with %s and ends with %s: the worst is to come first", first, last)
	}
}

func numberedNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("c%04d", i))
	}
	return names
}

// TestInterest checks which destination gets which notice.
func TestInterest(t *testing.T) {
	records := map[string]*ledger.Record{"x": {Certificate: "x", Labels: map[string]string{"team": "payments", "tier": "1"}}, "y": {Certificate: "y", Labels: map[string]string{"team": "shop"}}}
	payments := outbox.Interest{On: outbox.UsualNotices(), Labels: map[string]string{"team": "payments"}}
	cases := map[string]struct {
		i    outbox.Interest
		e    ledger.Event
		want outbox.NoticeKind
	}{
		"usual":                       {outbox.Interest{On: outbox.UsualNotices()}, renewedAfter("x", 0), ""},
		"usual, the worse one":        {outbox.Interest{On: outbox.UsualNotices()}, renewedAfter("x", 2), outbox.NoticeRecovered},
		"only what goes well":         {outbox.Interest{On: []outbox.NoticeKind{outbox.NoticeRenewed}}, renewedAfter("x", 2), outbox.NoticeRenewed},
		"its team":                    {payments, failedTimes("x", 1), outbox.NoticeFailing},
		"another team":                {payments, failedTimes("y", 1), ""},
		"unknown":                     {payments, failedTimes("z", 1), ""},
		"many, one of the team's":     {payments, heldBy("dns.a", reconciletest.NoticeAt, "x", "y"), outbox.NoticeHeld},
		"many, none of the team's":    {payments, heldBy("dns.a", reconciletest.NoticeAt, "y", "z"), ""},
		"more than are named":         {payments, heldBy("dns.a", reconciletest.NoticeAt, numberedNames(2*ledger.MostConcerned)...), outbox.NoticeHeld},
		"no certificate":              {payments, ledger.Event{Operation: ledger.KindPass, Status: ledger.Failed}, ""},
		"no certificate, to everyone": {outbox.Interest{On: outbox.UsualNotices()}, ledger.Event{Operation: ledger.KindPass, Status: ledger.Failed}, outbox.NoticeProblem},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := outbox.Notices(story(tc.e), 0)
			if got := tc.i.Wants(n[0], records); got != tc.want {
				t.Errorf("told as %q, want %q", got, tc.want)
			}
		})
	}
}
