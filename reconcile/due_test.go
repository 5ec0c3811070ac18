package reconcile

import (
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestThreshold(t *testing.T) {
	cases := map[string]struct {
		renewal  spec.Renewal
		lifetime time.Duration
		age      time.Duration
		kind     ledger.Kind
		detail   string
		warning  string
	}{
		"30 days of 90, before":                {spec.Renewal{ThresholdDays: 30}, 90 * times.Day, 60*times.Day - time.Second, ledger.KindNone, "30 days before it expires", ""},
		"30 days of 90, on it":                 {spec.Renewal{ThresholdDays: 30}, 90 * times.Day, 60 * times.Day, ledger.KindRenew, "30 days left: 30 days before it expires", ""},
		"30 days of 45, fresh":                 {spec.Renewal{ThresholdDays: 30}, 45 * times.Day, 0, ledger.KindNone, "a third of its 45 days before it expires", ""},
		"30 days of 45, at 16 days left":       {spec.Renewal{ThresholdDays: 30}, 45 * times.Day, 29 * times.Day, ledger.KindNone, "a third of its 45 days", ""},
		"30 days of 45, in the last third":     {spec.Renewal{ThresholdDays: 30}, 45 * times.Day, 30 * times.Day, ledger.KindRenew, "a third of its 45 days", ""},
		"30 days of 45, stated":                {spec.Renewal{ThresholdDays: 30, ThresholdStated: true}, 45 * times.Day, 0, ledger.KindNone, "a third", "the threshold of 30 days is more than a third of the certificate's 45 days; a third is used"},
		"33% of 90":                            {spec.Renewal{ThresholdPercent: 33, ThresholdStated: true}, 90 * times.Day, 60*times.Day + 8*time.Hour, ledger.KindRenew, "33 % of its 90 days", ""},
		"33% of 90, before":                    {spec.Renewal{ThresholdPercent: 33, ThresholdStated: true}, 90 * times.Day, 60 * times.Day, ledger.KindNone, "33 % of its 90 days", ""},
		"50% of 160 hours":                     {spec.Renewal{ThresholdPercent: 50, ThresholdStated: true}, 160 * time.Hour, 100 * time.Hour, ledger.KindNone, "a third of its 6 days", "the threshold of 3 days is more than a third"},
		"50% of 160 hours, in the last third":  {spec.Renewal{ThresholdPercent: 50, ThresholdStated: true}, 160 * time.Hour, 107 * time.Hour, ledger.KindRenew, "a third of its 6 days", "a third is used"},
		"7 days of 90":                         {spec.Renewal{ThresholdDays: 7, ThresholdStated: true}, 90 * times.Day, 83 * times.Day, ledger.KindRenew, "7 days left: 7 days before it expires", ""},
		"397 days of an hour":                  {spec.Renewal{ThresholdDays: 397}, time.Hour, 0, ledger.KindNone, "a third of its 60 minutes", ""},
		"397 days of an hour, in its last one": {spec.Renewal{ThresholdDays: 397}, time.Hour, 41 * time.Minute, ledger.KindRenew, "19 minutes left", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newView().lives(tc.lifetime)
			v.c.Renewal = tc.renewal
			v.c.Renewal.Auto = true
			reason := ledger.ReasonUpToDate
			if tc.kind == ledger.KindRenew {
				reason = ledger.ReasonThreshold
			}
			a := v.at(tc.age)
			expect(t, a, tc.kind, reason, tc.detail)
			expectWarning(t, a, tc.warning)
		})
	}
}

// TestNoEnd: a certificate without an end (RFC 5280 section 4.1.2.5), such as
// devices have, is not due, and its record can be written.
func TestNoEnd(t *testing.T) {
	for _, renewal := range []spec.Renewal{{Auto: true, ThresholdDays: 30}, {Auto: true, ThresholdPercent: 33}} {
		v := newView()
		v.c.Renewal = renewal
		v.secret.Live.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		a := v.at(0)
		if a.Kind.Orders() || a.NotBefore.Before(start.AddDate(100, 0, 0)) {
			t.Errorf("%+v: %s, due %s", renewal, a.Kind, a.NotBefore)
		}
		if _, err := a.NotBefore.MarshalJSON(); err != nil {
			t.Error(err)
		}
	}
}

func TestKeyAge(t *testing.T) {
	cases := map[string]struct {
		age    time.Duration
		since  time.Duration // of the key, before the certificate
		rotate spec.Rotation
		kind   ledger.Kind
		reason ledger.Reason
		detail string
	}{
		"young":                {10 * times.Day, 0, spec.RotateNever, ledger.KindNone, ledger.ReasonUpToDate, "it is due 2027-01-22"},
		"older before the due": {10 * times.Day, 150 * times.Day, spec.RotateNever, ledger.KindNone, ledger.ReasonUpToDate, "its key is rotated 2026-12-23, by key.max_age"},
		"old enough":           {30 * times.Day, 150 * times.Day, spec.RotateNever, ledger.KindRotate, ledger.ReasonKeyAge, "its key is from 2026-06-26 and key.max_age is 180 days"},
		"old and due":          {61 * times.Day, 150 * times.Day, spec.RotateNever, ledger.KindRenew, ledger.ReasonThreshold, "29 days left"},
		"where all rotate":     {30 * times.Day, 150 * times.Day, spec.RotateAlways, ledger.KindRotate, ledger.ReasonKeyAge, "key.max_age is 180 days"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newView()
			v.c.Key.Rotation, v.c.Key.MaxAge = tc.rotate, 180*times.Day
			v.secret.Live.KeySince = start.Add(-tc.since)
			expect(t, v.at(tc.age), tc.kind, tc.reason, tc.detail)
		})
	}
	t.Run("a renewal makes the fresh key that is due, and no second order", func(t *testing.T) {
		c := certificate("api", "api.example.com")
		c.Key.Rotation, c.Key.MaxAge = spec.RotateNever, 60*times.Day
		w := newWorld(t, c)
		w.settle()
		before := w.ledger.record(t, "api").Live
		w.at = w.at.Add(61 * times.Day)
		w.settle()
		w.settle()
		after := w.ledger.record(t, "api").Live
		if after.KeyDigest == before.KeyDigest || len(w.ca.orders) != 2 || !after.KeySince.Equal(after.IssuedAt) {
			t.Errorf("%d orders, key %s then %s since %s", len(w.ca.orders), before.KeyDigest, after.KeyDigest, after.KeySince)
		}
	})
}

func TestKeptKeyIsWarnedOf(t *testing.T) {
	v := newView()
	v.c.Key.Rotation = spec.RotateNever
	expectWarning(t, v.at(0), `key.rotation is "never": renewals keep the private key`)
	v.c.Key.MaxAge = 180 * times.Day
	expectWarning(t, v.at(0), "keep the private key until it is 180 days old")
}

// TestDays: one of a thing is one.
func TestDays(t *testing.T) {
	for d, want := range map[time.Duration]string{
		47 * time.Hour: "47 hours", 2 * times.Day: "2 days", 119 * time.Minute: "119 minutes", 90 * time.Second: "1 minute", -3 * times.Day: "-3 days",
	} {
		if got := times.Days(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
