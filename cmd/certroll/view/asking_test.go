package view

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile"
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

func record(name string, expires int, change func(*reconcile.Record)) *reconcile.Record {
	r := &reconcile.Record{Certificate: name, State: reconcile.StateLive, RenewAt: in(expires - 30), Live: &reconcile.Live{NotBefore: now.AddDate(0, 0, expires-90), NotAfter: *in(expires)}}
	if change != nil {
		change(r)
	}
	return r
}

func TestExpiring(t *testing.T) {
	records := map[string]*reconcile.Record{}
	for _, r := range []*reconcile.Record{
		record("later", 15, nil),
		record("limit", 14, func(r *reconcile.Record) { r.RenewAt = in(0) }),
		record("shortlived", 6, func(r *reconcile.Record) { r.RenewAt = in(4) }),
		record("overdue", 5, nil),
		record("failing", 4, func(r *reconcile.Record) {
			r.State, r.Failures = reconcile.StateFailing, 2
			r.LastFailure = &reconcile.Failure{Class: reconcile.ClassCAA, Message: "CAA\nforbids it"}
			r.Hold = &reconcile.Hold{Until: *in(1), Reason: "failure 2 in a row (caa): CAA"}
		}),
		record("retried", 3, func(r *reconcile.Record) {
			r.State, r.Failures, r.Severity = reconcile.StateFailing, 3, "page"
			r.LastFailure = &reconcile.Failure{Class: reconcile.ClassCAA, Message: "CAA\nforbids it"}
		}),
		record("off", 2, func(r *reconcile.Record) {
			r.RenewAt, r.Unmanaged = nil, &reconcile.Unmanaged{Since: *in(-9), Until: in(90), By: "Ann", Reason: "migration"}
		}),
		record("gone", 1, func(r *reconcile.Record) { r.State = reconcile.StateRetired }),
		record("expired", -1, nil),
	} {
		records[r.Certificate] = r
	}
	dto := NewExpiring(records, 14, now)
	same(t, shown(func(w *strings.Builder) { WriteExpiring(w, Palette{}, dto) }), `
CERTIFICATE  EXPIRES               LEFT     RENEWED    STATE               WHY
expired      2026-11-24T12:00:00Z  none     by itself  overdue             due since 2026-10-25T12:00:00Z and nobody has tried: is certroll run up?
off          2026-11-27T12:00:00Z  2 days   by nobody  unmanaged           renewal off since 2026-11-16 by Ann, until 2027-02-23T12:00:00Z: migration
retried      2026-11-28T12:00:00Z  3 days   by itself  failing (3x, page)  caa: CAA forbids it
failing      2026-11-29T12:00:00Z  4 days   by itself  failing             caa: CAA forbids it; next try in 24 h
overdue      2026-11-30T12:00:00Z  5 days   by itself  overdue             due since 2026-10-31T12:00:00Z and nobody has tried: is certroll run up?
shortlived   2026-12-01T12:00:00Z  6 days   by itself  in order            it is renewed 2026-11-29T12:00:00Z
limit        2026-12-09T12:00:00Z  14 days  by itself  due                 due since 2026-11-25T12:00:00Z, the next run renews it

7 certificates within 14 days, 5 not in order.
Close to its end, and not renewed by itself: off. certroll enable NAME
--reason TEXT turns the renewal on again.`)
	if dto.NotInOrder != 5 || dto.Certificates[3].Class != "caa" || dto.Certificates[3].Message != "CAA\nforbids it" || dto.Certificates[1].Auto {
		t.Errorf("dto: %+v", dto)
	}
	if short := NewExpiring(map[string]*reconcile.Record{"a": records["shortlived"], "b": records["limit"]}, 14, now); short.NotInOrder != 0 {
		t.Errorf("what will be renewed is not in order: %+v", short)
	}
}

func TestExplanation(t *testing.T) {
	verdicts := []reconcile.Verdict{
		{Rule: "missing", Saw: "secret/tls/api, version 3"},
		{Rule: "due", Saw: "now x,\nexpires y", Hit: true, Kind: reconcile.KindRenew, Reason: reconcile.ReasonThreshold, Detail: "it expires 2026-12-20"},
		{Rule: "up to date", Saw: "now x", Hit: true, Kind: reconcile.KindNone, Reason: reconcile.ReasonUpToDate, Detail: "it is due"},
	}
	held := reconcile.Action{Certificate: "api", Kind: reconcile.KindHold, Wants: reconcile.KindRenew, Reason: reconcile.ReasonBackoff, NotBefore: *in(1),
		Detail: "failure 2 in a row (caa)", Warnings: []string{"renewal.auto is off"}}
	verbose := false
	show := func(v []reconcile.Verdict, a reconcile.Action) string {
		return shown(func(w *strings.Builder) { WriteExplanation(w, Palette{}, NewExplanation("c0ffee", now, v, a), verbose) })
	}
	same(t, show(verdicts, held), `
api  renew waits until 2026-11-26T12:00:00Z (in 24 hours)
  Held back (backoff): failure 2 in a row (caa)
  Decided by "due": it expires 2026-12-20.
! renewal.auto is off

The rules, in the order they are asked; the first that hits decides:
  missing     -                  secret/tls/api, version 3
> due         renew (threshold)  now x, expires y
  up to date  none (up_to_date)  now x`)
	// What a hold says is what its rule said: it is said once.
	if got := show([]reconcile.Verdict{{Rule: "unreadable", Hit: true, Detail: "no word of Vault"}}, reconcile.Action{Certificate: "api", Kind: reconcile.KindHold, Detail: "no word of Vault", NotBefore: *in(1)}); strings.Count(got, "no word of Vault") != 1 {
		t.Errorf("twice:\n%s", got)
	}
	shape := []reconcile.Verdict{{Rule: "changed", Saw: "1 name; live: names digest 8c35d9b8c4ce, key ecdsa-P-256"}}
	for _, verbose = range []bool{false, true} {
		if got := show(shape, held); strings.Contains(got, "8c35d9b8c4ce") != verbose || !strings.Contains(got, "key ecdsa-P-256") {
			t.Errorf("verbose %v:\n%s", verbose, got)
		}
	}
	same(t, show(nil, reconcile.Action{Certificate: "api", Kind: reconcile.KindRetire, Detail: "its block is gone"}), `
api  will be retired
  No rule is asked: its block is gone.`)
	note := reconcile.Action{Certificate: "api", Kind: reconcile.KindNote, Reason: reconcile.ReasonPauseBegan}
	if got := show(verdicts[:1], note); !strings.Contains(got, "api  renewal will be off") {
		t.Errorf("a note:\n%s", got)
	}
}

// TestStory: five failures at most, the newest first, and the last order that
// succeeded whatever came after.
func TestStory(t *testing.T) {
	var events []reconcile.Event
	for i := range 7 {
		events = append(events, reconcile.Event{Time: *in(i - 20), Operation: reconcile.KindRenew, Status: reconcile.Failed, Class: reconcile.ClassCAA})
	}
	events = append(events,
		reconcile.Event{ID: "renewed", Time: *in(-5), Operation: reconcile.KindRenew, Status: reconcile.Success},
		reconcile.Event{Time: *in(-4), Operation: reconcile.KindAdopt, Status: reconcile.Denied, Class: reconcile.ClassConfig},
		reconcile.Event{Time: *in(-3), Operation: reconcile.KindNote, Status: reconcile.Success},
		reconcile.Event{Time: *in(-3), Operation: reconcile.KindDoctor, Status: reconcile.Failed, Class: reconcile.ClassCAA},
		reconcile.Event{Time: *in(-2), Operation: reconcile.KindRetry, Status: reconcile.Success})
	s := NewStory(record("api", 50, func(r *reconcile.Record) { r.Live.KeySince = *in(-40) }), events, now)
	if s.LastRenewal == nil || s.LastRenewal.ID != "renewed" || s.KeyAgeDays != 40 || s.Standing != "in_order" || s.NextBy != "threshold" {
		t.Errorf("story: %+v", s)
	}
	if len(s.Failures) != lastFailures || s.Failures[0].Status != reconcile.Denied || !s.Failures[1].Time.Equal(*in(-14)) {
		t.Errorf("failures: %+v", s.Failures)
	}
	if none := NewStory(&reconcile.Record{State: reconcile.StateFailing}, nil, now); none.KeyAgeDays != -1 || none.LastRenewal != nil || none.Failures == nil {
		t.Errorf("the story of what never was: %+v", none)
	}
}

// What others wrote does not move a terminal's cursor.
func TestOneLine(t *testing.T) {
	if got := text.Line("a\x1b[2Jb\r\n\tc  d"); got != "a [2Jb c d" {
		t.Errorf("%q", got)
	}
}
