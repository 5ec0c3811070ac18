package plan_test

import (
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
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
			v := reconciletest.NewView().Lives(tc.lifetime)
			v.C.Renewal = tc.renewal
			v.C.Renewal.Auto = true
			reason := ledger.ReasonUpToDate
			if tc.kind == ledger.KindRenew {
				reason = ledger.ReasonThreshold
			}
			a := v.At(tc.age)
			reconciletest.Expect(t, a, tc.kind, reason, tc.detail)
			reconciletest.ExpectWarning(t, a, tc.warning)
		})
	}
}

// TestNoEnd checks that a certificate without an expiry date (RFC 5280 section
// 4.1.2.5), as devices have, is not due, and that its record can be written.
func TestNoEnd(t *testing.T) {
	for _, renewal := range []spec.Renewal{{Auto: true, ThresholdDays: 30}, {Auto: true, ThresholdPercent: 33}} {
		v := reconciletest.NewView()
		v.C.Renewal = renewal
		v.Secret.Live.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		a := v.At(0)
		if a.Kind.Orders() || a.NotBefore.Before(reconciletest.Start.AddDate(100, 0, 0)) {
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
		since  time.Duration // how much older the key is than the certificate
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
			v := reconciletest.NewView()
			v.C.Key.Rotation, v.C.Key.MaxAge = tc.rotate, 180*times.Day
			v.Secret.Live.KeySince = reconciletest.Start.Add(-tc.since)
			reconciletest.Expect(t, v.At(tc.age), tc.kind, tc.reason, tc.detail)
		})
	}
	t.Run("a renewal makes the fresh key that is due, and no second order", func(t *testing.T) {
		c := reconciletest.Certificate("api", "api.example.com")
		c.Key.Rotation, c.Key.MaxAge = spec.RotateNever, 60*times.Day
		w := reconciletest.NewWorld(t, c)
		w.Settle()
		before := w.Ledger.Record(t, "api").Live
		w.At = w.At.Add(61 * times.Day)
		w.Settle()
		w.Settle()
		after := w.Ledger.Record(t, "api").Live
		if after.KeyDigest == before.KeyDigest || len(w.Ca.Orders) != 2 || !after.KeySince.Equal(after.IssuedAt) {
			t.Errorf("%d orders, key %s then %s since %s", len(w.Ca.Orders), before.KeyDigest, after.KeyDigest, after.KeySince)
		}
	})
}

func TestKeptKeyIsWarnedOf(t *testing.T) {
	v := reconciletest.NewView()
	v.C.Key.Rotation = spec.RotateNever
	reconciletest.ExpectWarning(t, v.At(0), `key.rotation is "never": renewals keep the private key`)
	v.C.Key.MaxAge = 180 * times.Day
	reconciletest.ExpectWarning(t, v.At(0), "keep the private key until it is 180 days old")
}

// TestDays checks the singular.
func TestDays(t *testing.T) {
	for d, want := range map[time.Duration]string{
		47 * time.Hour: "47 hours", 2 * times.Day: "2 days", 119 * time.Minute: "119 minutes", 90 * time.Second: "1 minute", -3 * times.Day: "-3 days",
	} {
		if got := times.Days(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
