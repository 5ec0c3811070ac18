package view

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"certroll/reconcile"
)

var toldAt = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func noticeOf(kind reconcile.NoticeKind, e reconcile.Event, names ...string) reconcile.Notice {
	if len(names) == 1 {
		e.Certificate = names[0]
	}
	e.Time = toldAt
	return reconcile.Notice{Kinds: []reconcile.NoticeKind{kind}, Event: e, Certificates: names}
}

// TestNotificationSubjects: each kind has words of its own.
func TestNotificationSubjects(t *testing.T) {
	caa := reconcile.Event{Operation: reconcile.KindRenew, Status: reconcile.Failed, Class: reconcile.ClassCAA, Failures: 3}
	cases := map[string]reconcile.Notice{
		"api failed (caa)": noticeOf(reconcile.NoticeFailing, caa, "api"),
		"api failed 3 times in a row, look at it now (caa)":               noticeOf(reconcile.NoticePaging, caa, "api"),
		"api expires soon and is not renewed":                             noticeOf(reconcile.NoticeExpiring, reconcile.Event{}, "api"),
		"2 certificates held back: dns.a":                                 noticeOf(reconcile.NoticeHeld, reconcile.Event{Operation: reconcile.KindHold, Subject: "dns.a"}, "api", "www"),
		"held back: issuer.le":                                            noticeOf(reconcile.NoticeHeld, reconcile.Event{Operation: reconcile.KindHold, Subject: "issuer.le"}),
		"the next renewal of api will fail (caa)":                         noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindDoctor, Class: reconcile.ClassCAA}, "api"),
		"Git or Vault cannot be reached (git)":                            noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindPass, Class: reconcile.ClassGit}),
		"a problem of api":                                                noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: "probe"}, "api"),
		"a revision has mistakes and was refused":                         noticeOf(reconcile.NoticeRefused, reconcile.Event{Operation: reconcile.KindConfig}),
		"a certificate of api was revoked":                                noticeOf(reconcile.NoticeRevoked, reconcile.Event{}, "api"),
		"api recovered":                                                   noticeOf(reconcile.NoticeRecovered, reconcile.Event{}, "api"),
		"api fails no longer: its renewal was turned off":                 noticeOf(reconcile.NoticeRecovered, reconcile.Event{Reason: reconcile.ReasonPauseBegan}, "api"),
		"api fails no longer: its block is gone":                          noticeOf(reconcile.NoticeRecovered, reconcile.Event{Reason: reconcile.ReasonRemoved}, "api"),
		"the config repo is taken again":                                  noticeOf(reconcile.NoticeResolved, reconcile.Event{Operation: reconcile.KindConfig}),
		"Git and Vault can be reached again":                              noticeOf(reconcile.NoticeResolved, reconcile.Event{Operation: reconcile.KindPass}),
		"a problem of api is gone":                                        noticeOf(reconcile.NoticeResolved, reconcile.Event{Operation: reconcile.KindDoctor}, "api"),
		"dns.a works again":                                               {Kinds: []reconcile.NoticeKind{reconcile.NoticeResolved}, Ends: "dns.a"},
		"api issued":                                                      noticeOf(reconcile.NoticeIssued, reconcile.Event{}, "api"),
		"api renewed":                                                     noticeOf(reconcile.NoticeRenewed, reconcile.Event{}, "api"),
		"the ledger was rewritten":                                        noticeOf(reconcile.NoticeTampered, reconcile.Event{Reason: reconcile.ReasonRewound}),
		"a revision is held back, unsigned":                               noticeOf(reconcile.NoticeTampered, reconcile.Event{Operation: reconcile.KindConfig, Reason: reconcile.ReasonUnsigned}),
		"the secret of api was changed by somebody else, and is restored": noticeOf(reconcile.NoticeTampered, reconcile.Event{Reason: reconcile.ReasonDrifted}, "api"),
		"60 certificates failed (dns_unauthorized)":                       noticeOf(reconcile.NoticeFailing, reconcile.Event{Class: reconcile.ClassDNSUnauthorized}, numbered(60)...),
	}
	covered := map[reconcile.NoticeKind]bool{}
	for want, n := range cases {
		covered[n.Kinds[0]] = true
		dto := NewNotification(reconcile.Bulletin{ID: "1f", Kind: n.Kinds[0], Notices: []reconcile.Notice{n}}, toldAt)
		if dto.Data.Subject != "certroll: "+want {
			t.Errorf("it says %q, want %q", dto.Data.Subject, want)
		}
		if body, err := dto.Body(); err != nil || strings.Contains(string(body), `"notices": null`) || strings.Contains(string(body), `"certificates": null`) {
			t.Errorf("%v %s", err, body)
		}
	}
	for _, k := range reconcile.NoticeKinds {
		if !covered[k] {
			t.Errorf("%s is not tried", k)
		}
	}
}

func numbered(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("c%02d", i))
	}
	return names
}

// TestNotificationText: what a person reads of a failure.
func TestNotificationText(t *testing.T) {
	until, end := toldAt.Add(10*time.Minute), toldAt.Add(10*24*time.Hour+time.Hour)
	e := reconcile.Event{
		Operation: reconcile.KindRenew, Status: reconcile.Failed, Class: reconcile.ClassCAA, Failures: 1, Detail: "it is due",
		Message: "the CA said:\n\x1b[31mno", Issuer: "le", DNSAccount: "cloudflare", Revision: "c0ffee", HoldUntil: &until,
	}
	b := reconcile.Bulletin{ID: "1f", Kind: reconcile.NoticeFailing, Notices: []reconcile.Notice{noticeOf(reconcile.NoticeFailing, e, "api")},
		Records: map[string]*reconcile.Record{"api": {Certificate: "api", Live: &reconcile.Live{NotAfter: end}}}}
	dto := NewNotification(b, toldAt)
	want := `certificates: api
what: it is due
said: the CA said: [31mno
at: issuer le, DNS account cloudflare, revision c0ffee
next: it is tried again at 2026-11-25T12:10:00Z
expires: api 2026-12-05T13:00:00Z, 10 days left
to do: certroll explain api shows why; once the cause is mended, certroll retry api`
	if dto.Data.Text != want {
		t.Errorf("it says\n%s\nwant\n%s", dto.Data.Text, want)
	}
	if n := dto.Data.Notices[0]; dto.ID != "msg_1f" || dto.Type != "failing" || n.Kind != "failing" || *n.DaysLeft != 10 || !n.NotAfter.Equal(end) {
		t.Errorf("the body is %+v", dto)
	}
}

// TestNotificationIsBounded, however much there is to tell.
func TestNotificationIsBounded(t *testing.T) {
	var all []reconcile.Notice
	for i, name := range numbered(1000) {
		all = append(all, noticeOf([]reconcile.NoticeKind{reconcile.NoticeFailing, reconcile.NoticeRecovered}[i%2], reconcile.Event{Message: strings.Repeat("no ", 600)}, name))
	}
	for _, b := range []reconcile.Bulletin{{Kind: reconcile.NoticeDigest, Notices: all}, {Kind: reconcile.NoticeFailing, Notices: all}} {
		dto := NewNotification(b, toldAt)
		if d := dto.Data; d.Count != 1000 || len(d.Notices) != mostNotices || len(d.Certificates) != mostNotices || len(d.Text) > 6000 || len(d.Subject) > 300 {
			t.Errorf("%s: %d notices, %d certificates, a text of %d bytes, %q", b.Kind, len(d.Notices), len(d.Certificates), len(d.Text), d.Subject)
		}
	}
	dto := NewNotification(reconcile.Bulletin{Kind: reconcile.NoticeDigest, Notices: all}, toldAt)
	if dto.Data.Subject != "certroll: 1000 notices: 500 failing, 500 recovered" || !strings.Contains(dto.Data.Text, "and 980 more") {
		t.Errorf("it says %q and %q", dto.Data.Subject, dto.Data.Text)
	}
}

// TestNotificationShape: the names of the fields are a promise.
func TestNotificationShape(t *testing.T) {
	b, err := TestNotification("t", toldAt).Body()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil || len(m) != 5 || string(m["type"]) != `"test"` || !strings.Contains(string(m["data"]), `"notices": []`) {
		t.Errorf("the body is %s (%v)", b, err)
	}
}
