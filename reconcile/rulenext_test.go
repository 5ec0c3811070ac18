package reconcile

import (
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/review"
	"certroll/reconcile/times"
	"certroll/spec"
)

// published lets the view have a next key that was published at an age.
func (v *view) published(digest, shape string, at time.Duration) {
	since := start.Add(at)
	v.c.Key.Next = true
	v.obs.Staged = map[string]plan.Staged{"api": {KeyDigest: digest, KeyShape: shape}}
	v.secret.Live.NextKeyDigest, v.secret.Live.NextKeyShape, v.secret.Live.NextKeySince = digest, shape, &since
}

// told lets the record say what Vault does.
func (v *view) told() { live := *v.secret.Live; v.record.Live = &live }

func TestRuleNext(t *testing.T) {
	const p256 = "ecdsa-P-256"
	settled := func(v *view) { v.published("n1", p256, 0); v.told() }
	cases := map[string]struct {
		view   func(*view)
		age    time.Duration
		kind   ledger.Kind
		reason ledger.Reason
		detail string
		warns  string
	}{
		"published":          {view: settled, age: times.Day, kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"published, and due": {view: settled, age: 61 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
		"turned on":          {view: func(v *view) { v.c.Key.Next = true }, age: times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKey, detail: "made now and its digest published, nothing is ordered"},
		"turned on when due": {view: func(v *view) { v.c.Key.Next = true }, age: 61 * times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKey},
		"turned on too late": {view: func(v *view) { v.c.Key.Next = true }, age: 91 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonExpired},
		"unmanaged": {view: func(v *view) {
			v.c.Key.Next, v.c.Renewal.Auto = true, false
			v.record = liveRecord(v.c, v.secret)
		}, age: times.Day, kind: ledger.KindNone, reason: ledger.ReasonUnmanaged},
		"turned on with a rotation": {view: func(v *view) { v.c.Key.Next, v.c.Rotate = true, "leaked" }, age: times.Day,
			kind: ledger.KindRotate, reason: ledger.ReasonRotate},
		"a rotation uses it at once": {view: func(v *view) { settled(v); v.c.Rotate = "leaked" }, age: time.Hour,
			kind: ledger.KindRotate, reason: ledger.ReasonRotate, warns: "published only since 2026-11-23T12:00:00Z"},
		"a rotation long after": {view: func(v *view) { settled(v); v.c.Rotate = "leaked" }, age: 2 * times.Day, kind: ledger.KindRotate, reason: ledger.ReasonRotate},
		"a change waits": {view: func(v *view) { settled(v); v.secret.Live.NamesDigest = "other" }, age: time.Hour,
			kind: ledger.KindHold, reason: ledger.ReasonNextKeyNew, detail: "published since 2026-11-23T12:00:00Z"},
		"a change a day later": {view: func(v *view) { settled(v); v.secret.Live.NamesDigest = "other" }, age: times.Day, kind: ledger.KindReissue, reason: ledger.ReasonChanged},
		"due, and published a moment ago": {view: func(v *view) { v.published("n1", p256, 60*times.Day); v.told() }, age: 60*times.Day + time.Hour,
			kind: ledger.KindHold, reason: ledger.ReasonNextKeyNew, detail: "days left"},
		"due, and too late to wait": {view: func(v *view) { v.published("n1", p256, 85*times.Day); v.told() }, age: 85*times.Day + time.Hour,
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold, warns: "may not be seen everywhere yet"},
		"due, and published by a clock that ran ahead": {view: func(v *view) { v.published("n1", p256, 80*times.Day); v.told() }, age: 61 * times.Day,
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
		"short lives wait a tenth": {view: func(v *view) { v.lives(160 * time.Hour); settled(v); v.secret.Live.NamesDigest = "other" }, age: 17 * time.Hour,
			kind: ledger.KindReissue, reason: ledger.ReasonChanged},
		"lost": {view: func(v *view) { settled(v); v.obs.Staged = nil }, age: times.Day,
			kind: ledger.KindStage, reason: ledger.ReasonNextKeyLost, detail: "n1 was published, is gone from Vault"},
		"lost, and expired": {view: func(v *view) { settled(v); v.obs.Staged = nil }, age: 91 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonExpired},
		"another shape": {view: func(v *view) { settled(v); v.c.Key.Curve = "P-384" }, age: 5 * times.Day,
			kind: ledger.KindStage, reason: ledger.ReasonNextKey, detail: "becomes ecdsa-P-384: the staged key (ecdsa-P-256, SPKI SHA-256 n1) is replaced; TLSA records and pins of it are to be changed"},
		"another shape, staged": {view: func(v *view) { v.published("n2", "ecdsa-P-384", 5*times.Day); v.told(); v.c.Key.Curve = "P-384" }, age: 5*times.Day + time.Hour,
			kind: ledger.KindHold, reason: ledger.ReasonNextKeyNew},
		"another shape, published": {view: func(v *view) { v.published("n2", "ecdsa-P-384", 5*times.Day); v.told(); v.c.Key.Curve = "P-384" }, age: 6 * times.Day,
			kind: ledger.KindReissue, reason: ledger.ReasonChanged},
		"staged, not published": {view: func(v *view) {
			v.c.Key.Next = true
			v.obs.Staged = map[string]plan.Staged{"api": {KeyDigest: "n1", KeyShape: p256}}
		}, age: times.Day,
			kind: ledger.KindStage, reason: ledger.ReasonNextKey, detail: "the digest n1 is published"},
		"published, not told": {view: func(v *view) {
			v.record.Live = ledger.KeepNames(v.secret.Live, nil).WithoutNext()
			v.published("n1", p256, 0)
		}, age: times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKey, detail: "n1"},
		"staged is the live one": {view: func(v *view) { settled(v); v.obs.Staged["api"] = plan.Staged{KeyDigest: "k1", KeyShape: p256} }, age: times.Day,
			kind: ledger.KindStage, reason: ledger.ReasonNextKey},
		"turned off":       {view: func(v *view) { settled(v); v.c.Key.Next = false }, age: times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKeyOff, detail: "its digest n1 withdrawn"},
		"turned off, done": {view: func(v *view) {}, age: times.Day, kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"turned off, not told": {view: func(v *view) {
			settled(v)
			v.secret.Live, v.obs.Staged, v.c.Key.Next = v.secret.Live.WithoutNext(), nil, false
		}, age: times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKeyOff, detail: "its digest n1 withdrawn"},
		"drift comes first":   {view: func(v *view) { settled(v); v.obs.Staged = nil; v.secret.Version = 2 }, age: times.Day, kind: ledger.KindRepair, reason: ledger.ReasonDrifted},
		"a lost ledger first": {view: func(v *view) { settled(v); v.record = nil }, age: times.Day, kind: ledger.KindRepair, reason: ledger.ReasonBehind},
		"staging fails, and it is due": {view: func(v *view) {
			v.c.Key.Next = true
			v.record.State, v.record.LastFailure = ledger.StateFailing, &ledger.Failure{Operation: ledger.KindStage}
			v.record.Hold = &ledger.Hold{Until: start.Add(70 * times.Day), Class: ledger.ClassVault, SpecDigest: plan.SpecDigest(v.desired, v.c)}
		}, age: 61 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
		"staging fails": {view: func(v *view) {
			v.c.Key.Next = true
			v.record.State, v.record.LastFailure = ledger.StateFailing, &ledger.Failure{Operation: ledger.KindStage}
			v.record.Hold = &ledger.Hold{Until: start.Add(70 * times.Day), Class: ledger.ClassVault, SpecDigest: plan.SpecDigest(v.desired, v.c)}
		}, age: 50 * times.Day, kind: ledger.KindHold, reason: ledger.ReasonBackoff},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newView()
			tc.view(v)
			a := v.at(tc.age)
			expect(t, a, tc.kind, tc.reason, tc.detail)
			if tc.warns != "" || a.Kind.Orders() {
				expectWarning(t, a, tc.warns)
			}
		})
	}
}

// TestNextKeyInSpecDigest: turning key.next on ends a hold, and where it is off
// the digests of holds of before it was known still stand.
func TestNextKeyInSpecDigest(t *testing.T) {
	c := certificate("api", "api.example.com")
	off := plan.SpecDigest(desire(c), c)
	c.Key.Next = true
	if on := plan.SpecDigest(desire(c), c); on == off {
		t.Error("key.next is not in the digest")
	}
	set := review.ChangeOf(desire(certificates("api")()...), desire(changed("api", func(c *spec.Certificate) { c.Key.Next = true })()...), seenLive(certificate("api", "api.example.com")), start)
	if len(set.Certificates) != 1 || len(set.Certificates[0].Settings) != 1 || set.Certificates[0].Settings[0].Effect != review.EffectAtOnce {
		t.Errorf("change: %+v", set.Certificates)
	}
}
