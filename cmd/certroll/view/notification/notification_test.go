package notification

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
	caa := reconcile.Event{Operation: reconcile.KindRenew, Status: reconcile.Failed, Class: reconcile.ClassCAA, Failures: 3, Message: "ordering: the CA may not issue it; add a record"}
	cases := map[string]reconcile.Notice{
		"api failed: the CA may not issue it (caa)":                                                                     noticeOf(reconcile.NoticeFailing, caa, "api"),
		"api failed 3 times in a row, look at it now: the CA may not issue it (caa)":                                    noticeOf(reconcile.NoticePaging, caa, "api"),
		"api expires soon and is not renewed":                                                                           noticeOf(reconcile.NoticeExpiring, reconcile.Event{}, "api"),
		"DNS account a refuses certroll's credentials: 2 certificates wait":                                             noticeOf(reconcile.NoticeHeld, reconcile.Event{Operation: reconcile.KindHold, Subject: "dns.a", Class: reconcile.ClassDNSUnauthorized}, "api", "www"),
		"DNS account a fails: api waits":                                                                                noticeOf(reconcile.NoticeHeld, reconcile.Event{Operation: reconcile.KindHold, Subject: "dns.a"}, "api"),
		"issuer le does not answer: certificates wait":                                                                  noticeOf(reconcile.NoticeHeld, reconcile.Event{Operation: reconcile.KindHold, Subject: "issuer.le", Class: reconcile.ClassCAUnavailable}),
		"a rate limit of issuer le for x.test is reached: api waits":                                                    noticeOf(reconcile.NoticeHeld, reconcile.Event{Operation: reconcile.KindHold, Subject: "issuer.le for x.test", Reason: reconcile.ReasonLimit}, "api"),
		"what api has in Vault cannot be read: permission denied":                                                       noticeOf(reconcile.NoticeHeld, reconcile.Event{Subject: "unreadable", Reason: reconcile.ReasonUnreadable, Class: reconcile.ClassVault, Message: "reading: permission denied"}, "api"),
		"a change waits until a person accepts it: 2 certificates":                                                      noticeOf(reconcile.NoticeHeld, reconcile.Event{Operation: reconcile.KindHold, Reason: reconcile.ReasonMass}, "api", "www"),
		"api is due, and its renewal is off":                                                                            noticeOf(reconcile.NoticeHeld, reconcile.Event{Reason: reconcile.ReasonOverdue}, "api"),
		"api held back: secret secret/tls/api":                                                                          noticeOf(reconcile.NoticeHeld, reconcile.Event{Operation: reconcile.KindHold, Reason: reconcile.ReasonUndone, Subject: "secret secret/tls/api"}, "api"),
		"look at api now: it serves an expired one (expired)":                                                           noticeOf(reconcile.NoticePaging, reconcile.Event{Operation: reconcile.KindProbe, Class: "expired", Message: "it serves an expired one"}, "api"),
		"the next renewal of api will fail (caa)":                                                                       noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindDoctor, Class: reconcile.ClassCAA}, "api"),
		"DNS account a refuses certroll's credentials: the next renewal of 2 certificates will fail (dns_unauthorized)": noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindDoctor, Class: reconcile.ClassDNSUnauthorized, DNSAccount: "a"}, "api", "www"),
		"Vault is sealed":                                                 noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindPass, Subject: "vault", Class: reconcile.ClassVault, Message: "reading the metadata of secret/tls/api: Vault is sealed; unseal it"}),
		"Vault cannot be used: connection refused":                        noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindPass, Subject: "vault", Class: reconcile.ClassVault, Message: "asking Vault: connection refused"}),
		"the ledger cannot be reached: repository not found":              noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindPass, Subject: "ledger", Class: reconcile.ClassGit, Message: "fetching: repository not found"}),
		"the state directory cannot be written: no space left on device":  noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindPass, Subject: "state_dir", Message: "writing: no space left on device"}),
		"Vault works again":                                               noticeOf(reconcile.NoticeResolved, reconcile.Event{Operation: reconcile.KindPass, Subject: "vault"}),
		"Git or Vault cannot be reached":                                  noticeOf(reconcile.NoticeProblem, reconcile.Event{Operation: reconcile.KindPass, Class: reconcile.ClassGit}),
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
		"DNS account a refuses certroll's credentials: 60 certificates failed (dns_unauthorized)": noticeOf(reconcile.NoticeFailing, reconcile.Event{Class: reconcile.ClassDNSUnauthorized, DNSAccount: "a"}, numbered(60)...),
		"issuer le does not answer: api failed (ca_unavailable)":                                  noticeOf(reconcile.NoticeFailing, reconcile.Event{Class: reconcile.ClassCAUnavailable, Issuer: "le"}, "api"),
	}
	covered := map[reconcile.NoticeKind]bool{}
	for want, n := range cases {
		covered[n.Kinds[0]] = true
		dto := New(reconcile.Bulletin{ID: "1f", Kind: n.Kinds[0], Notices: []reconcile.Notice{n}}, toldAt)
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

// TestNotificationTime: what is left is said in a unit of which there are some.
func TestNotificationTime(t *testing.T) {
	for left, want := range map[time.Duration]string{
		90 * time.Second: "90 seconds", 55 * time.Minute: "55 minutes", 30 * time.Hour: "30 hours", 49 * time.Hour: "2 days", 10 * 24 * time.Hour: "10 days",
	} {
		n := noticeOf(reconcile.NoticeExpiring, reconcile.Event{Detail: "it expires soon"}, "api")
		b := reconcile.Bulletin{Kind: reconcile.NoticeExpiring, Notices: []reconcile.Notice{n},
			Records: map[string]*reconcile.Record{"api": {Certificate: "api", Live: &reconcile.Live{NotAfter: toldAt.Add(left)}}}}
		data := New(b, toldAt).Data
		if data.Subject != "certroll: api expires in "+want+" and is not renewed" || !strings.Contains(data.Text, ", "+want+" left") {
			t.Errorf("%s: %q, %q", left, data.Subject, data.Text)
		}
	}
}

// TestNotificationIsNotStale: what was due is over with a success, and a failure that
// the examination told of says so.
func TestNotificationIsNotStale(t *testing.T) {
	text := func(kind reconcile.NoticeKind, e reconcile.Event, foreseen time.Time) Data {
		n := noticeOf(kind, e, "api")
		n.Foreseen = foreseen
		return New(reconcile.Bulletin{Kind: kind, Notices: []reconcile.Notice{n}}, toldAt).Data
	}
	missing := reconcile.Event{Operation: reconcile.KindIssue, Status: reconcile.Success, Detail: "there is no secret at secret/tls/api yet"}
	if got := text(reconcile.NoticeRecovered, missing, time.Time{}); strings.Contains(got.Text, "no secret") || got.Notices[0].ForeseenAt != nil {
		t.Errorf("%s", got.Text)
	}
	if got := text(reconcile.NoticeIssued, missing, time.Time{}).Text; !strings.Contains(got, "why: there is no secret") {
		t.Errorf("%s", got)
	}
	refused := reconcile.Event{Operation: reconcile.KindRenew, Class: reconcile.ClassDNSUnauthorized, DNSAccount: "a", Failures: 1}
	if got := text(reconcile.NoticeFailing, refused, toldAt.Add(-time.Hour)); !strings.Contains(got.Text, "known: the daily examination reported this at 2026-11-25T11:00:00Z") || got.Notices[0].ForeseenAt == nil {
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

// TestNotificationText: what a person reads of a failure.
func TestNotificationText(t *testing.T) {
	until, end := toldAt.Add(10*time.Minute), toldAt.Add(10*24*time.Hour+time.Hour)
	e := reconcile.Event{
		Operation: reconcile.KindRenew, Status: reconcile.Failed, Class: reconcile.ClassCAA, Failures: 1, Detail: "it is due",
		Message: "the CA said:\n\x1b[31mno", Issuer: "le", DNSAccount: "cloudflare", Revision: "c0ffee", HoldUntil: &until,
	}
	b := reconcile.Bulletin{ID: "1f", Kind: reconcile.NoticeFailing, Notices: []reconcile.Notice{noticeOf(reconcile.NoticeFailing, e, "api")},
		Records: map[string]*reconcile.Record{"api": {Certificate: "api", Live: &reconcile.Live{NotAfter: end}}}}
	dto := New(b, toldAt)
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
		dto := New(b, toldAt)
		if d := dto.Data; d.Count != 1000 || len(d.Notices) != mostNotices || len(d.Certificates) != mostNotices || len(d.Text) > 6000 || len(d.Subject) > 300 {
			t.Errorf("%s: %d notices, %d certificates, a text of %d bytes, %q", b.Kind, len(d.Notices), len(d.Certificates), len(d.Text), d.Subject)
		}
	}
	dto := New(reconcile.Bulletin{Kind: reconcile.NoticeDigest, Notices: all}, toldAt)
	if dto.Data.Subject != "certroll: 1000 notices: 500 failing, 500 recovered" || !strings.Contains(dto.Data.Text, "and 980 more") {
		t.Errorf("it says %q and %q", dto.Data.Subject, dto.Data.Text)
	}
}

// TestNotificationShape: the names of the fields are a promise.
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
