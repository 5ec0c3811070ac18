package view

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec/text"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func in(days int) *time.Time { return &[]time.Time{now.AddDate(0, 0, days)}[0] }

func shown(write func(w *strings.Builder)) string {
	var b strings.Builder
	write(&b)
	return b.String()
}

func same(t *testing.T, got, want string) {
	t.Helper()
	trim := func(s string) string {
		lines := strings.Split(strings.TrimSpace(s), "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		return strings.Join(lines, "\n")
	}
	if trim(got) != trim(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func record(name string, expires int, change func(*ledger.Record)) *ledger.Record {
	r := &ledger.Record{Certificate: name, State: ledger.StateLive, RenewAt: in(expires - 30), Live: &ledger.Live{NotBefore: now.AddDate(0, 0, expires-90), NotAfter: *in(expires)}}
	if change != nil {
		change(r)
	}
	return r
}

func TestExpiring(t *testing.T) {
	records := map[string]*ledger.Record{}
	for _, r := range []*ledger.Record{
		record("later", 15, nil),
		record("limit", 14, func(r *ledger.Record) { r.RenewAt = in(0) }),
		record("shortlived", 6, func(r *ledger.Record) { r.RenewAt = in(4) }),
		record("overdue", 5, nil),
		record("failing", 4, func(r *ledger.Record) {
			r.State, r.Failures = ledger.StateFailing, 2
			r.LastFailure = &ledger.Failure{Class: ledger.ClassCAA, Message: "CAA\nforbids it"}
			r.Hold = &ledger.Hold{Until: *in(1), Reason: "failure 2 in a row (caa): CAA"}
		}),
		record("retried", 3, func(r *ledger.Record) {
			r.State, r.Failures, r.Severity = ledger.StateFailing, 3, "page"
			r.LastFailure = &ledger.Failure{Class: ledger.ClassCAA, Message: "CAA\nforbids it"}
		}),
		record("off", 2, func(r *ledger.Record) {
			r.RenewAt, r.Unmanaged = nil, &ledger.Unmanaged{Since: *in(-9), Until: in(90), By: "Ann", Reason: "migration"}
		}),
		record("gone", 1, func(r *ledger.Record) { r.State = ledger.StateRetired }),
		record("expired", -1, nil),
	} {
		records[r.Certificate] = r
	}
	dto := NewExpiring(records, 14, now)
	same(t, shown(func(w *strings.Builder) { WriteExpiring(w, Palette{}, dto) }), `
CERTIFICATE  EXPIRES               LEFT     RENEWED    STATE               WHY
expired      2026-11-24T12:00:00Z  none     by itself  overdue             due since 2026-10-25T12:00:00Z, but certroll has not tried: is certroll run up?
off          2026-11-27T12:00:00Z  2 days   by nobody  unmanaged           renewal off since 2026-11-16 by Ann, until 2027-02-23T12:00:00Z: migration
retried      2026-11-28T12:00:00Z  3 days   by itself  failing (3x, page)  caa: CAA forbids it
failing      2026-11-29T12:00:00Z  4 days   by itself  failing             caa: CAA forbids it; next try in 24 h
overdue      2026-11-30T12:00:00Z  5 days   by itself  overdue             due since 2026-10-31T12:00:00Z, but certroll has not tried: is certroll run up?
shortlived   2026-12-01T12:00:00Z  6 days   by itself  in order            it is renewed 2026-11-29T12:00:00Z
limit        2026-12-09T12:00:00Z  14 days  by itself  due                 due since 2026-11-25T12:00:00Z, the next run renews it

7 certificates within 14 days, 5 not in order.
Close to its end, and not renewed by itself: off. certroll enable NAME
--reason TEXT turns the renewal on again.`)
	if dto.NotInOrder != 5 || dto.Certificates[3].Class != "caa" || dto.Certificates[3].Message != "CAA\nforbids it" || dto.Certificates[1].Auto {
		t.Errorf("dto: %+v", dto)
	}
	if short := NewExpiring(map[string]*ledger.Record{"a": records["shortlived"], "b": records["limit"]}, 14, now); short.NotInOrder != 0 {
		t.Errorf("what will be renewed is not in order: %+v", short)
	}
}

func TestExplanation(t *testing.T) {
	verdicts := []plan.Verdict{
		{Rule: "missing", Saw: "secret/tls/api, version 3"},
		{Rule: "due", Saw: "now x,\nexpires y", Hit: true, Kind: ledger.KindRenew, Reason: ledger.ReasonThreshold, Detail: "it expires 2026-12-20"},
		{Rule: "up to date", Saw: "now x", Hit: true, Kind: ledger.KindNone, Reason: ledger.ReasonUpToDate, Detail: "it is due"},
	}
	held := plan.Action{Certificate: "api", Kind: ledger.KindHold, Wants: ledger.KindRenew, Reason: ledger.ReasonBackoff, NotBefore: *in(1),
		Detail: "failure 2 in a row (caa)", Warnings: []string{"renewal.auto is off"}}
	verbose := false
	show := func(v []plan.Verdict, a plan.Action) string {
		return shown(func(w *strings.Builder) { WriteExplanation(w, Palette{}, NewExplanation("c0ffee", now, v, a), verbose) })
	}
	same(t, show(verdicts, held), `
api  renew waits until 2026-11-26T12:00:00Z (in 24 hours)
  Held back (backoff): failure 2 in a row (caa)
  Decided by "due": it expires 2026-12-20.
! renewal.auto is off

The rules, in the order of evaluation; the first that matches decides:
  missing     -                  secret/tls/api, version 3
> due         renew (threshold)  now x, expires y
  up to date  none (up_to_date)  now x`)
	// The hold and its rule have the same text, which appears once.
	if got := show([]plan.Verdict{{Rule: "unreadable", Hit: true, Detail: "no word of Vault"}}, plan.Action{Certificate: "api", Kind: ledger.KindHold, Detail: "no word of Vault", NotBefore: *in(1)}); strings.Count(got, "no word of Vault") != 1 {
		t.Errorf("twice:\n%s", got)
	}
	shape := []plan.Verdict{{Rule: "changed", Saw: "1 name; live: 2 names, names digest 8c35d9b8c4ce, key ecdsa-P-256"}}
	for _, verbose = range []bool{false, true} {
		if got := show(shape, held); strings.Contains(got, "8c35d9b8c4ce") != verbose || !strings.Contains(got, "live: 2 names, ") || !strings.Contains(got, "key ecdsa-P-256") {
			t.Errorf("verbose %v:\n%s", verbose, got)
		}
	}
	same(t, show(nil, plan.Action{Certificate: "api", Kind: ledger.KindRetire, Detail: "its block is gone"}), `
api  will be retired
  No rule applies: its block is gone.`)
	note := plan.Action{Certificate: "api", Kind: ledger.KindNote, Reason: ledger.ReasonPauseBegan}
	if got := show(verdicts[:1], note); !strings.Contains(got, "api  renewal will be off") {
		t.Errorf("a note:\n%s", got)
	}
}

// TestStory: explain shows at most five failures, the newest first, and the last successful order whatever followed.
func TestStory(t *testing.T) {
	var events []ledger.Event
	for i := range 7 {
		events = append(events, ledger.Event{Time: *in(i - 20), Operation: ledger.KindRenew, Status: ledger.Failed, Class: ledger.ClassCAA})
	}
	events = append(events,
		ledger.Event{ID: "renewed", Time: *in(-5), Operation: ledger.KindRenew, Status: ledger.Success},
		ledger.Event{Time: *in(-4), Operation: ledger.KindAdopt, Status: ledger.Denied, Class: ledger.ClassConfig},
		ledger.Event{Time: *in(-3), Operation: ledger.KindNote, Status: ledger.Success},
		ledger.Event{Time: *in(-3), Operation: ledger.KindDoctor, Status: ledger.Failed, Class: ledger.ClassCAA},
		ledger.Event{Time: *in(-2), Operation: ledger.KindRetry, Status: ledger.Success})
	s := NewStory(record("api", 50, func(r *ledger.Record) { r.Live.KeySince = *in(-40) }), events, now)
	if s.LastRenewal == nil || s.LastRenewal.ID != "renewed" || s.KeyAgeDays != 40 || s.Standing != "in_order" || s.NextBy != "threshold" {
		t.Errorf("story: %+v", s)
	}
	if len(s.Failures) != lastFailures || s.Failures[0].Status != ledger.Denied || !s.Failures[1].Time.Equal(*in(-14)) {
		t.Errorf("failures: %+v", s.Failures)
	}
	if none := NewStory(&ledger.Record{State: ledger.StateFailing}, nil, now); none.KeyAgeDays != -1 || none.LastRenewal != nil || none.Failures == nil {
		t.Errorf("the story of what never was: %+v", none)
	}
}

// TestOneLine: foreign text cannot move the terminal's cursor.
func TestOneLine(t *testing.T) {
	if got := text.Line("a\x1b[2Jb\r\n\tc  d"); got != "a [2Jb c d" {
		t.Errorf("%q", got)
	}
}
