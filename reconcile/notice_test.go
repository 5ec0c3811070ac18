package reconcile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var noticeAt = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// story numbers events and dates them an hour apart.
func story(events ...Event) []Event {
	for i := range events {
		events[i].Schema, events[i].ID = EventSchema, fmt.Sprintf("e%d", i)
		if events[i].Time.IsZero() {
			events[i].Time = noticeAt.Add(time.Duration(i) * time.Hour)
		}
	}
	return events
}

func failedTimes(name string, n int) Event {
	return Event{Operation: KindRenew, Status: Failed, Certificate: name, Class: ClassDNSUnauthorized, DNSAccount: "a", Issuer: "le", Failures: n, Message: "REFUSED"}
}

func renewedAfter(name string, failures int) Event {
	return Event{Operation: KindRenew, Status: Success, Certificate: name, Issuer: "le", DNSAccount: "a", Recovered: failures}
}

func heldBy(s subject, at time.Time, names ...string) Event {
	e := heldEvent(at, s, ReasonBreaker, "it fails for many", ClassDNSUnauthorized, "REFUSED")
	e.concerns(names)
	return e
}

// TestNotices: what is told of which events, a word an event that is told.
func TestNotices(t *testing.T) {
	cases := map[string]struct {
		events []Event
		want   []string // "index kind kind ..."
	}{
		"issued":                      {story(Event{Operation: KindIssue, Status: Success}), []string{"0 issued"}},
		"reissued":                    {story(Event{Operation: KindReissue, Status: Success, Reason: ReasonChanged}), []string{"0 issued"}},
		"renewed":                     {story(Event{Operation: KindRenew, Status: Success}), []string{"0 renewed"}},
		"rotated and revoked":         {story(Event{Operation: KindRotate, Status: Success, Revoked: "1f"}), []string{"0 revoked renewed"}},
		"revoked later":               {story(Event{Operation: KindRevoke, Status: Success, Revoked: "1f"}), []string{"0 revoked"}},
		"one problem":                 {story(failedTimes("x", 1), failedTimes("x", 2), failedTimes("x", 3), failedTimes("x", 4), renewedAfter("x", 4)), []string{"0 failing", "2 paging", "4 recovered renewed"}},
		"refused to protect":          {story(Event{Operation: KindAdopt, Status: Denied, Reason: ReasonForeign, Failures: 1}), []string{"0 failing"}},
		"what fails is not asked for": {story(failedTimes("x", 1), Event{Operation: KindRetire, Status: Success, Recovered: 1}), []string{"0 failing", "1 recovered"}},
		"a person's retry":            {story(failedTimes("x", 1), Event{Operation: KindRetry, Status: Success, Failures: 1}), []string{"0 failing"}},
		"overwritten":                 {story(Event{Operation: KindRepair, Status: Success, Reason: ReasonDrifted}), []string{"0 tampered"}},
		"deleted":                     {story(Event{Operation: KindIssue, Status: Success, Reason: ReasonDeleted}), []string{"0 tampered issued"}},
		"a record behind":             {story(Event{Operation: KindRepair, Status: Success, Reason: ReasonBehind}), nil},
		"adopted":                     {story(Event{Operation: KindAdopt, Status: Success}), nil},
		"rewound":                     {story(Event{Operation: KindNote, Status: Failed, Reason: ReasonRewound}), []string{"0 tampered"}},
		"turned off":                  {story(Event{Operation: KindNote, Status: Success, Reason: ReasonPauseBegan}), nil},
		"due and off":                 {story(Event{Operation: KindNote, Status: Held, Reason: ReasonOverdue}), []string{"0 held"}},
		"expiring":                    {story(Event{Operation: KindNote, Status: Held, Reason: ReasonExpiring}), []string{"0 expiring"}},
		"a bad revision":              {story(Event{Operation: KindConfig, Status: Failed, Reason: ReasonRefused}, Event{Operation: KindConfig, Status: Success, Reason: ReasonTaken}), []string{"0 refused", "1 resolved"}},
		"an unsigned revision":        {story(Event{Operation: KindConfig, Status: Denied, Reason: ReasonUnsigned}, Event{Operation: KindConfig, Status: Success, Reason: ReasonAccepted}), []string{"0 tampered"}},
		"an outage":                   {story(Event{Operation: KindPass, Status: Failed}, Event{Operation: KindPass, Status: Success}), []string{"0 problem", "1 resolved"}},
		"found ahead":                 {story(Event{Operation: KindDoctor, Status: Failed}, Event{Operation: KindDoctor, Status: Success}), []string{"0 problem", "1 resolved"}},
		"found of what fails": {story(failedTimes("x", 1), Event{Operation: KindDoctor, Status: Failed, Certificate: "x", Class: ClassDNSUnauthorized, DNSAccount: "a"}, renewedAfter("x", 1),
			Event{Operation: KindDoctor, Status: Success, Certificate: "x", Class: ClassDNSUnauthorized, DNSAccount: "a"}), []string{"0 failing", "2 recovered renewed"}},
		"found of another": {story(failedTimes("x", 1), Event{Operation: KindDoctor, Status: Failed, Certificate: "x", Class: ClassCAA}), []string{"0 failing", "1 problem"}},
		"not served":       {story(Event{Operation: KindProbe, Status: Failed}, Event{Operation: KindProbe, Status: Success}), []string{"0 problem", "1 resolved"}},
		"served to its end": {story(Event{Operation: KindProbe, Status: Failed, Class: ClassStale}, Event{Operation: KindProbe, Status: Failed, Class: ClassExpired, Severity: SeverityPage},
			Event{Operation: KindProbe, Status: Success, Class: ClassExpired}), []string{"0 problem", "1 paging problem", "2 resolved"}},
		"held for days": {story(heldBy("dns.a", noticeAt, "y"), heldBy("dns.a", noticeAt.Add(day), "y", "z"), heldBy("dns.a", noticeAt.Add(2*day), "y"), Event{Operation: KindRenew, Status: Success, Issuer: "le", DNSAccount: "a", Certificate: "y", Time: noticeAt.Add(2*day + time.Hour)}),
			[]string{"0 held", "3 renewed", "3 resolved"}},
		"held again after a week":   {story(heldBy("dns.a", noticeAt, "y"), heldBy("dns.a", noticeAt.Add(7*day), "y")), []string{"0 held", "1 held"}},
		"held by a clock ahead":     {story(heldBy("dns.a", noticeAt.AddDate(1, 0, 0), "y"), heldBy("dns.a", noticeAt, "y"), heldBy("dns.a", noticeAt.Add(day), "y")), []string{"0 held", "1 held"}},
		"fails after a clock ahead": {story(heldBy("dns.a", noticeAt.AddDate(1, 0, 0), "y"), failedTimes("x", 1)), []string{"0 held", "1 failing"}},
		"another account works":     {story(heldBy("dns.a", noticeAt, "y"), Event{Operation: KindRenew, Status: Success, Issuer: "le", DNSAccount: "b"}), []string{"0 held", "1 renewed"}},
		"probes of what is held": {story(failedTimes("x", 1), heldBy("dns.a", noticeAt, "y", "z"), failedTimes("y", 1), failedTimes("y", 2), failedTimes("x", 3), failedTimes("y", 3)),
			[]string{"0 failing", "1 held", "4 paging"}},
		"fails on after a hold": {story(heldBy("dns.a", noticeAt, "y", "z"), failedTimes("y", 1), failedTimes("z", 2), failedTimes("z", 3), failedTimes("y", 3), renewedAfter("z", 3),
			func() Event { e := failedTimes("y", 4); e.Class = ClassCAA; return e }(), failedTimes("y", 5)), []string{"0 held", "3 paging", "5 recovered renewed", "5 resolved", "6 paging"}},
		"a word of the CA meanwhile": {story(failedTimes("y", 1), failedTimes("y", 2), failedTimes("y", 3), Event{Operation: KindNote, Status: Success, Certificate: "y", Reason: ReasonSuggested},
			failedTimes("y", 4), Event{Operation: KindDoctor, Status: Failed, Certificate: "y", Class: ClassDNSUnauthorized, DNSAccount: "a"}), []string{"0 failing", "2 paging"}},
		"a limit states its own end": {story(func() Event {
			e := heldEvent(noticeAt, "issuer.le", ReasonLimit, "", "", "")
			return e
		}(), renewedAfter("x", 0)), []string{"0 held", "1 renewed"}},
		"others that cannot be looked at": {story(unreadableEvent(noticeAt, []string{"x"}, ""), unreadableEvent(noticeAt, []string{"x", "y"}, ""), unreadableEvent(noticeAt.Add(day), []string{"x", "y"}, "")), []string{"0 held", "1 held"}},
		"a word that came later":          {story(Event{Operation: "later", Status: Success}), nil},
	}
	covered := map[NoticeKind]bool{}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, n := range notices(tc.events, 0) {
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
	for _, k := range NoticeKinds {
		if !covered[k] {
			t.Errorf("no event is told as %q", k)
		}
	}
	if all := constants(t, "NoticeKind")["NoticeKind"]; len(all) != len(NoticeKinds) {
		t.Errorf("there are the kinds %v, and NoticeKinds has %v", all, NoticeKinds)
	}
}

// TestNoticesAfter: what came before is known and not told again.
func TestNoticesAfter(t *testing.T) {
	events := story(heldBy("dns.a", noticeAt, "x", "y"), heldBy("dns.a", noticeAt.Add(day), "y"), failedTimes("y", 1))
	events[2].Time = noticeAt.Add(day + time.Hour)
	if got := notices(events, 1); len(got) != 0 {
		t.Errorf("told: %v", got)
	}
}

// TestNoticesForeseen: a failure says that the examination told of the same before,
// as long as that was not gone, and by the account where it is the account's.
func TestNoticesForeseen(t *testing.T) {
	found := func(class Class, name string, status Status) Event {
		return Event{Operation: KindDoctor, Status: status, Certificate: name, Class: class, DNSAccount: "a"}
	}
	caa := failedTimes("x", 1)
	caa.Class, caa.DNSAccount = ClassCAA, "b"
	for name, tc := range map[string]struct {
		events []Event
		want   bool
	}{
		"the account of another":     {[]Event{found(ClassDNSUnauthorized, "y", Failed), failedTimes("x", 1)}, true},
		"held for many":              {[]Event{found(ClassDNSUnauthorized, "y", Failed), heldBy("dns.a", noticeAt, "x")}, true},
		"it was gone meanwhile":      {[]Event{found(ClassDNSUnauthorized, "y", Failed), found(ClassDNSUnauthorized, "y", Success), failedTimes("x", 1)}, false},
		"its own names":              {[]Event{found(ClassCAA, "x", Failed), caa}, true},
		"names of another":           {[]Event{found(ClassCAA, "y", Failed), caa}, false},
		"another class":              {[]Event{found(ClassCAA, "x", Failed), failedTimes("x", 1)}, false},
		"nothing was found before":   {[]Event{failedTimes("x", 1)}, false},
		"a success is no such thing": {[]Event{found(ClassDNSUnauthorized, "y", Failed), renewedAfter("x", 1)}, false},
	} {
		told := notices(story(tc.events...), 0)
		if got := !told[len(told)-1].Foreseen.IsZero(); got != tc.want {
			t.Errorf("%s: foreseen %v, want %v", name, got, tc.want)
		}
	}
}

// TestNoticesAreBounded: a stranger's event makes no message that no receiver
// takes, and certroll's own are told as they are.
func TestNoticesAreBounded(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	for name, e := range map[string]Event{
		"words":  {Operation: KindRenew, Status: Failed, Certificate: "x", Failures: 1, Message: huge, Detail: huge},
		"fields": {Operation: Kind(huge), Status: Failed, Certificate: huge, Failures: 1, Class: Class(huge), Issuer: huge, Actor: huge},
		"names":  {Operation: KindDoctor, Status: Failed, Certificates: numberedNames(100000)},
		"holds":  heldBy(subject(huge), noticeAt, numberedNames(100)...),
	} {
		for _, n := range notices(story(e), 0) {
			b, err := json.Marshal(n)
			if err != nil || len(b) > 2*mostEvent || n.Event.ID != "e0" {
				t.Errorf("%s: a notice of %d bytes, %v", name, len(b), err)
			}
		}
	}
	own := Event{Operation: KindIssue, Status: Failed, Certificate: "x", Failures: 1, Names: numberedNames(100), Message: strings.Repeat("no ", 1000), FailedNames: numberedNames(100)}
	if n := notices(story(own), 0)[0]; n.Event.Message != own.Message || len(n.Event.Names) != 100 {
		t.Errorf("certroll's own event is cut: %+v", n)
	}
}

// TestGather: what comes at one time of one cause is one message, and what is
// too much for a message each is one.
func TestGather(t *testing.T) {
	everything := Interest{On: NoticeKinds}
	var many []Event
	for i := range 60 {
		many = append(many, failedTimes(fmt.Sprintf("c%d", i), 1))
	}
	caa := func(name, message string) Event {
		return Event{Operation: KindIssue, Status: Failed, Certificate: name, Issuer: "le", Class: ClassCAA, Failures: 1, Message: message}
	}
	cases := map[string]struct {
		events []Event
		want   []string
	}{
		"sixty of one account": {many, []string{"failing 60"}},
		"another cause":        {append(slices.Clone(many[:2]), caa("x", "CAA of x.example forbids it")), []string{"failing 2", "failing 1"}},
		"two of their own":     {[]Event{caa("x", "CAA of x.example forbids it"), caa("y", "CAA of y.example forbids it")}, []string{"failing 1", "failing 1"}},
		"back together":        {[]Event{renewedAfter("x", 1), renewedAfter("y", 4)}, []string{"recovered 2"}},
		"in order of coming":   {[]Event{failedTimes("x", 1), renewedAfter("x", 1), failedTimes("x", 1)}, []string{"failing 2", "recovered 1"}},
		"days of it": {[]Event{renewedAfter("w", 0), failedTimes("x", 1), caa("a", "one"), caa("b", "two"), caa("c", "three"), caa("d", "four")},
			[]string{"digest 6"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, b := range gather(notices(story(tc.events...), 0), everything, nil) {
				got = append(got, fmt.Sprintf("%s %d", b.Kind, len(b.Notices)))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("told: %q, want %q", got, tc.want)
			}
		})
	}
	d := gather(notices(story(cases["days of it"].events...), 0), everything, nil)[0]
	if first, last := d.Notices[0].Kinds[0], d.Notices[5].Kinds[0]; first != NoticeFailing || last != NoticeRenewed {
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

// TestInterest: who is told of what.
func TestInterest(t *testing.T) {
	records := map[string]*Record{"x": {Certificate: "x", Labels: map[string]string{"team": "payments", "tier": "1"}}, "y": {Certificate: "y", Labels: map[string]string{"team": "shop"}}}
	payments := Interest{On: UsualNotices(), Labels: map[string]string{"team": "payments"}}
	cases := map[string]struct {
		i    Interest
		e    Event
		want NoticeKind
	}{
		"usual":                       {Interest{On: UsualNotices()}, renewedAfter("x", 0), ""},
		"usual, the worse one":        {Interest{On: UsualNotices()}, renewedAfter("x", 2), NoticeRecovered},
		"only what goes well":         {Interest{On: []NoticeKind{NoticeRenewed}}, renewedAfter("x", 2), NoticeRenewed},
		"its team":                    {payments, failedTimes("x", 1), NoticeFailing},
		"another team":                {payments, failedTimes("y", 1), ""},
		"unknown":                     {payments, failedTimes("z", 1), ""},
		"many, one of the team's":     {payments, heldBy("dns.a", noticeAt, "x", "y"), NoticeHeld},
		"many, none of the team's":    {payments, heldBy("dns.a", noticeAt, "y", "z"), ""},
		"more than are named":         {payments, heldBy("dns.a", noticeAt, numberedNames(2*mostConcerned)...), NoticeHeld},
		"no certificate":              {payments, Event{Operation: KindPass, Status: Failed}, ""},
		"no certificate, to everyone": {Interest{On: UsualNotices()}, Event{Operation: KindPass, Status: Failed}, NoticeProblem},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := notices(story(tc.e), 0)
			if got := tc.i.wants(n[0], records); got != tc.want {
				t.Errorf("told as %q, want %q", got, tc.want)
			}
		})
	}
}
