package notification

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/outbox"
)

var toldAt = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func noticeOf(kind outbox.NoticeKind, e ledger.Event, names ...string) outbox.Notice {
	if len(names) == 1 {
		e.Certificate = names[0]
	}
	e.Time = toldAt
	return outbox.Notice{Kinds: []outbox.NoticeKind{kind}, Event: e, Certificates: names}
}

// TestNotificationSubjects: each kind has its own subject.
func TestNotificationSubjects(t *testing.T) {
	caa := ledger.Event{Operation: ledger.KindRenew, Status: ledger.Failed, Class: ledger.ClassCAA, Failures: 3, Message: "ordering: the CA may not issue it; add a record"}
	cases := map[string]outbox.Notice{
		"api failed: the CA may not issue it (caa)":                                                                     noticeOf(outbox.NoticeFailing, caa, "api"),
		"api failed 3 times in a row, look at it now: the CA may not issue it (caa)":                                    noticeOf(outbox.NoticePaging, caa, "api"),
		"api expires soon and is not renewed":                                                                           noticeOf(outbox.NoticeExpiring, ledger.Event{}, "api"),
		"DNS account a refuses certroll's credentials: 2 certificates wait":                                             noticeOf(outbox.NoticeHeld, ledger.Event{Operation: ledger.KindHold, Subject: "dns.a", Class: ledger.ClassDNSUnauthorized}, "api", "www"),
		"DNS account a fails: api waits":                                                                                noticeOf(outbox.NoticeHeld, ledger.Event{Operation: ledger.KindHold, Subject: "dns.a"}, "api"),
		"issuer le does not answer: certificates wait":                                                                  noticeOf(outbox.NoticeHeld, ledger.Event{Operation: ledger.KindHold, Subject: "issuer.le", Class: ledger.ClassCAUnavailable}),
		"a rate limit of issuer le for x.test is reached: api waits":                                                    noticeOf(outbox.NoticeHeld, ledger.Event{Operation: ledger.KindHold, Subject: "issuer.le for x.test", Reason: ledger.ReasonLimit}, "api"),
		"what api has in Vault cannot be read: permission denied":                                                       noticeOf(outbox.NoticeHeld, ledger.Event{Subject: "unreadable", Reason: ledger.ReasonUnreadable, Class: ledger.ClassVault, Message: "reading: permission denied"}, "api"),
		"a change waits until a person accepts it: 2 certificates":                                                      noticeOf(outbox.NoticeHeld, ledger.Event{Operation: ledger.KindHold, Reason: ledger.ReasonMass}, "api", "www"),
		"api is due, and its renewal is off":                                                                            noticeOf(outbox.NoticeHeld, ledger.Event{Reason: ledger.ReasonOverdue}, "api"),
		"api held back: secret secret/tls/api":                                                                          noticeOf(outbox.NoticeHeld, ledger.Event{Operation: ledger.KindHold, Reason: ledger.ReasonUndone, Subject: "secret secret/tls/api"}, "api"),
		"look at api now: it serves an expired one (expired)":                                                           noticeOf(outbox.NoticePaging, ledger.Event{Operation: ledger.KindProbe, Class: "expired", Message: "it serves an expired one"}, "api"),
		"the next renewal of api will fail (caa)":                                                                       noticeOf(outbox.NoticeProblem, ledger.Event{Operation: ledger.KindDoctor, Class: ledger.ClassCAA}, "api"),
		"DNS account a refuses certroll's credentials: the next renewal of 2 certificates will fail (dns_unauthorized)": noticeOf(outbox.NoticeProblem, ledger.Event{Operation: ledger.KindDoctor, Class: ledger.ClassDNSUnauthorized, DNSAccount: "a"}, "api", "www"),
		"Vault is sealed":                                                noticeOf(outbox.NoticeProblem, ledger.Event{Operation: ledger.KindPass, Subject: "vault", Class: ledger.ClassVault, Message: "reading the metadata of secret/tls/api: Vault is sealed; unseal it"}),
		"Vault cannot be used: connection refused":                       noticeOf(outbox.NoticeProblem, ledger.Event{Operation: ledger.KindPass, Subject: "vault", Class: ledger.ClassVault, Message: "asking Vault: connection refused"}),
		"the ledger cannot be reached: repository not found":             noticeOf(outbox.NoticeProblem, ledger.Event{Operation: ledger.KindPass, Subject: "ledger", Class: ledger.ClassGit, Message: "fetching: repository not found"}),
		"the state directory cannot be written: no space left on device": noticeOf(outbox.NoticeProblem, ledger.Event{Operation: ledger.KindPass, Subject: "state_dir", Message: "writing: no space left on device"}),
		"Vault works again":                                              noticeOf(outbox.NoticeResolved, ledger.Event{Operation: ledger.KindPass, Subject: "vault"}),
		"Git or Vault cannot be reached":                                 noticeOf(outbox.NoticeProblem, ledger.Event{Operation: ledger.KindPass, Class: ledger.ClassGit}),
		"a problem of api":                                               noticeOf(outbox.NoticeProblem, ledger.Event{Operation: "probe"}, "api"),
		"a revision has mistakes and was refused":                        noticeOf(outbox.NoticeRefused, ledger.Event{Operation: ledger.KindConfig}),
		"a certificate of api was revoked":                               noticeOf(outbox.NoticeRevoked, ledger.Event{}, "api"),
		"api recovered":                                                  noticeOf(outbox.NoticeRecovered, ledger.Event{}, "api"),
		"api fails no longer: its renewal was turned off":                noticeOf(outbox.NoticeRecovered, ledger.Event{Reason: ledger.ReasonPauseBegan}, "api"),
		"api fails no longer: its block is gone":                         noticeOf(outbox.NoticeRecovered, ledger.Event{Reason: ledger.ReasonRemoved}, "api"),
		"the config repo is taken again":                                 noticeOf(outbox.NoticeResolved, ledger.Event{Operation: ledger.KindConfig}),
		"Git and Vault can be reached again":                             noticeOf(outbox.NoticeResolved, ledger.Event{Operation: ledger.KindPass}),
		"a problem of api is gone":                                       noticeOf(outbox.NoticeResolved, ledger.Event{Operation: ledger.KindDoctor}, "api"),
		"dns.a works again":                                              {Kinds: []outbox.NoticeKind{outbox.NoticeResolved}, Ends: "dns.a"},
		"api issued":                                                     noticeOf(outbox.NoticeIssued, ledger.Event{}, "api"),
		"api renewed":                                                    noticeOf(outbox.NoticeRenewed, ledger.Event{}, "api"),
		"the ledger was rewritten":                                       noticeOf(outbox.NoticeTampered, ledger.Event{Reason: ledger.ReasonRewound}),
		"a revision is held back, unsigned":                              noticeOf(outbox.NoticeTampered, ledger.Event{Operation: ledger.KindConfig, Reason: ledger.ReasonUnsigned}),
		"the secret of api was changed by another program, and certroll restores it":              noticeOf(outbox.NoticeTampered, ledger.Event{Reason: ledger.ReasonDrifted}, "api"),
		"DNS account a refuses certroll's credentials: 60 certificates failed (dns_unauthorized)": noticeOf(outbox.NoticeFailing, ledger.Event{Class: ledger.ClassDNSUnauthorized, DNSAccount: "a"}, numbered(60)...),
		"issuer le does not answer: api failed (ca_unavailable)":                                  noticeOf(outbox.NoticeFailing, ledger.Event{Class: ledger.ClassCAUnavailable, Issuer: "le"}, "api"),
	}
	covered := map[outbox.NoticeKind]bool{}
	for want, n := range cases {
		covered[n.Kinds[0]] = true
		dto := New(outbox.Notification{ID: "1f", Kind: n.Kinds[0], Notices: []outbox.Notice{n}}, toldAt)
		if dto.Data.Subject != "certroll: "+want {
			t.Errorf("it says %q, want %q", dto.Data.Subject, want)
		}
		if body, err := dto.Body(); err != nil || strings.Contains(string(body), `"notices": null`) || strings.Contains(string(body), `"certificates": null`) {
			t.Errorf("%v %s", err, body)
		}
	}
	for _, k := range outbox.NoticeKinds {
		if !covered[k] {
			t.Errorf("%s is not tried", k)
		}
	}
}

// TestNotificationTime: remaining time is given in a unit of which more than one is left.
func TestNotificationTime(t *testing.T) {
	for left, want := range map[time.Duration]string{
		90 * time.Second: "90 seconds", 55 * time.Minute: "55 minutes", 30 * time.Hour: "30 hours", 49 * time.Hour: "2 days", 10 * 24 * time.Hour: "10 days",
	} {
		n := noticeOf(outbox.NoticeExpiring, ledger.Event{Detail: "it expires soon"}, "api")
		b := outbox.Notification{Kind: outbox.NoticeExpiring, Notices: []outbox.Notice{n},
			Records: map[string]*ledger.Record{"api": {Certificate: "api", Live: &ledger.Live{NotAfter: toldAt.Add(left)}}}}
		data := New(b, toldAt).Data
		if data.Subject != "certroll: api expires in "+want+" and is not renewed" || !strings.Contains(data.Text, ", "+want+" left") {
			t.Errorf("%s: %q, %q", left, data.Subject, data.Text)
		}
	}
}

// TestNotificationIsNotStale: a recovery does not repeat why the action was due, and a failure says if the daily
// examination had reported it before.
func TestNotificationIsNotStale(t *testing.T) {
	text := func(kind outbox.NoticeKind, e ledger.Event, foreseen time.Time) Data {
		n := noticeOf(kind, e, "api")
		n.Foreseen = foreseen
		return New(outbox.Notification{Kind: kind, Notices: []outbox.Notice{n}}, toldAt).Data
	}
	missing := ledger.Event{Operation: ledger.KindIssue, Status: ledger.Success, Detail: "there is no secret at secret/tls/api yet"}
	if got := text(outbox.NoticeRecovered, missing, time.Time{}); strings.Contains(got.Text, "no secret") || got.Notices[0].ForeseenAt != nil {
		t.Errorf("%s", got.Text)
	}
	if got := text(outbox.NoticeIssued, missing, time.Time{}).Text; !strings.Contains(got, "why: there is no secret") {
		t.Errorf("%s", got)
	}
	refused := ledger.Event{Operation: ledger.KindRenew, Class: ledger.ClassDNSUnauthorized, DNSAccount: "a", Failures: 1}
	if got := text(outbox.NoticeFailing, refused, toldAt.Add(-time.Hour)); !strings.Contains(got.Text, "known: the daily examination reported this at 2026-11-25T11:00:00Z") || got.Notices[0].ForeseenAt == nil {
		t.Errorf("%s", got.Text)
	}
}

func numbered(n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("c%02d", i))
	}
	return names
}

// TestNotificationText checks the text about a failure.
func TestNotificationText(t *testing.T) {
	until, end := toldAt.Add(10*time.Minute), toldAt.Add(10*24*time.Hour+time.Hour)
	e := ledger.Event{
		Operation: ledger.KindRenew, Status: ledger.Failed, Class: ledger.ClassCAA, Failures: 1, Detail: "it is due",
		Message: "the CA said:\n\x1b[31mno", Issuer: "le", DNSAccount: "cloudflare", Revision: "c0ffee", HoldUntil: &until,
	}
	b := outbox.Notification{ID: "1f", Kind: outbox.NoticeFailing, Notices: []outbox.Notice{noticeOf(outbox.NoticeFailing, e, "api")},
		Records: map[string]*ledger.Record{"api": {Certificate: "api", Live: &ledger.Live{NotAfter: end}}}}
	dto := New(b, toldAt)
	want := `certificates: api
what: it is due
said: the CA said: [31mno
at: issuer le, DNS account cloudflare, revision c0ffee
next: it is tried again at 2026-11-25T12:10:00Z
expires: api 2026-12-05T13:00:00Z, 10 days left
to do: certroll explain api shows why; after you fix the cause, run certroll retry api`
	if dto.Data.Text != want {
		t.Errorf("it says\n%s\nwant\n%s", dto.Data.Text, want)
	}
	if n := dto.Data.Notices[0]; dto.ID != "msg_1f" || dto.Type != "failing" || n.Kind != "failing" || *n.DaysLeft != 10 || !n.NotAfter.Equal(end) {
		t.Errorf("the body is %+v", dto)
	}
}

// TestNotificationIsBounded: the size is bounded for any number of events.
func TestNotificationIsBounded(t *testing.T) {
	var all []outbox.Notice
	for i, name := range numbered(1000) {
		all = append(all, noticeOf([]outbox.NoticeKind{outbox.NoticeFailing, outbox.NoticeRecovered}[i%2], ledger.Event{Message: strings.Repeat("no ", 600)}, name))
	}
	for _, b := range []outbox.Notification{{Kind: outbox.NoticeDigest, Notices: all}, {Kind: outbox.NoticeFailing, Notices: all}} {
		dto := New(b, toldAt)
		if d := dto.Data; d.Count != 1000 || len(d.Notices) != mostNotices || len(d.Certificates) != mostNotices || len(d.Text) > 6000 || len(d.Subject) > 300 {
			t.Errorf("%s: %d notices, %d certificates, a text of %d bytes, %q", b.Kind, len(d.Notices), len(d.Certificates), len(d.Text), d.Subject)
		}
	}
	dto := New(outbox.Notification{Kind: outbox.NoticeDigest, Notices: all}, toldAt)
	if dto.Data.Subject != "certroll: 1000 notices: 500 failing, 500 recovered" || !strings.Contains(dto.Data.Text, "and 980 more") {
		t.Errorf("it says %q and %q", dto.Data.Subject, dto.Data.Text)
	}
}

// TestNotificationShape: the field names are part of the public format.
func TestNotificationShape(t *testing.T) {
	b, err := Test("t", toldAt).Body()
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil || len(m) != 5 || string(m["type"]) != `"test"` || !strings.Contains(string(m["data"]), `"notices": []`) {
		t.Errorf("the body is %s (%v)", b, err)
	}
}
