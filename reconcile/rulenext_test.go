package reconcile

import (
	"testing"
	"time"

	"certroll/spec"
)

// published lets the view have a next key that was published at an age.
func (v *view) published(digest, shape string, at time.Duration) {
	since := start.Add(at)
	v.c.Key.Next = true
	v.obs.Staged = map[string]Staged{"api": {KeyDigest: digest, KeyShape: shape}}
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
		kind   Kind
		reason Reason
		detail string
		warns  string
	}{
		"published":          {view: settled, age: day, kind: KindNone, reason: ReasonUpToDate},
		"published, and due": {view: settled, age: 61 * day, kind: KindRenew, reason: ReasonThreshold},
		"turned on":          {view: func(v *view) { v.c.Key.Next = true }, age: day, kind: KindStage, reason: ReasonNextKey, detail: "made now and its digest published, nothing is ordered"},
		"turned on when due": {view: func(v *view) { v.c.Key.Next = true }, age: 61 * day, kind: KindStage, reason: ReasonNextKey},
		"turned on too late": {view: func(v *view) { v.c.Key.Next = true }, age: 91 * day, kind: KindRenew, reason: ReasonExpired},
		"unmanaged": {view: func(v *view) {
			v.c.Key.Next, v.c.Renewal.Auto = true, false
			v.record = liveRecord(v.c, v.secret)
		}, age: day, kind: KindNone, reason: ReasonUnmanaged},
		"turned on with a rotation": {view: func(v *view) { v.c.Key.Next, v.c.Rotate = true, "leaked" }, age: day,
			kind: KindRotate, reason: ReasonRotate},
		"a rotation uses it at once": {view: func(v *view) { settled(v); v.c.Rotate = "leaked" }, age: time.Hour,
			kind: KindRotate, reason: ReasonRotate, warns: "published only since 2026-11-23T12:00:00Z"},
		"a rotation long after": {view: func(v *view) { settled(v); v.c.Rotate = "leaked" }, age: 2 * day, kind: KindRotate, reason: ReasonRotate},
		"a change waits": {view: func(v *view) { settled(v); v.secret.Live.NamesDigest = "other" }, age: time.Hour,
			kind: KindHold, reason: ReasonNextKeyNew, detail: "published since 2026-11-23T12:00:00Z"},
		"a change a day later": {view: func(v *view) { settled(v); v.secret.Live.NamesDigest = "other" }, age: day, kind: KindReissue, reason: ReasonChanged},
		"due, and published a moment ago": {view: func(v *view) { v.published("n1", p256, 60*day); v.told() }, age: 60*day + time.Hour,
			kind: KindHold, reason: ReasonNextKeyNew, detail: "days left"},
		"due, and too late to wait": {view: func(v *view) { v.published("n1", p256, 85*day); v.told() }, age: 85*day + time.Hour,
			kind: KindRenew, reason: ReasonThreshold, warns: "may not be seen everywhere yet"},
		"due, and published by a clock that ran ahead": {view: func(v *view) { v.published("n1", p256, 80*day); v.told() }, age: 61 * day,
			kind: KindRenew, reason: ReasonThreshold},
		"short lives wait a tenth": {view: func(v *view) { v.lives(160 * time.Hour); settled(v); v.secret.Live.NamesDigest = "other" }, age: 17 * time.Hour,
			kind: KindReissue, reason: ReasonChanged},
		"lost": {view: func(v *view) { settled(v); v.obs.Staged = nil }, age: day,
			kind: KindStage, reason: ReasonNextKeyLost, detail: "n1 was published, is gone from Vault"},
		"lost, and expired": {view: func(v *view) { settled(v); v.obs.Staged = nil }, age: 91 * day, kind: KindRenew, reason: ReasonExpired},
		"another shape": {view: func(v *view) { settled(v); v.c.Key.Curve = "P-384" }, age: 5 * day,
			kind: KindStage, reason: ReasonNextKey, detail: "becomes ecdsa-P-384: the staged key (ecdsa-P-256, SPKI SHA-256 n1) is replaced; TLSA records and pins of it are to be changed"},
		"another shape, staged": {view: func(v *view) { v.published("n2", "ecdsa-P-384", 5*day); v.told(); v.c.Key.Curve = "P-384" }, age: 5*day + time.Hour,
			kind: KindHold, reason: ReasonNextKeyNew},
		"another shape, published": {view: func(v *view) { v.published("n2", "ecdsa-P-384", 5*day); v.told(); v.c.Key.Curve = "P-384" }, age: 6 * day,
			kind: KindReissue, reason: ReasonChanged},
		"staged, not published": {view: func(v *view) {
			v.c.Key.Next = true
			v.obs.Staged = map[string]Staged{"api": {KeyDigest: "n1", KeyShape: p256}}
		}, age: day,
			kind: KindStage, reason: ReasonNextKey, detail: "the digest n1 is published"},
		"published, not told": {view: func(v *view) {
			v.record.Live = keepNames(v.secret.Live, nil).withoutNext()
			v.published("n1", p256, 0)
		}, age: day, kind: KindStage, reason: ReasonNextKey, detail: "n1"},
		"staged is the live one": {view: func(v *view) { settled(v); v.obs.Staged["api"] = Staged{KeyDigest: "k1", KeyShape: p256} }, age: day,
			kind: KindStage, reason: ReasonNextKey},
		"turned off":       {view: func(v *view) { settled(v); v.c.Key.Next = false }, age: day, kind: KindStage, reason: ReasonNextKeyOff, detail: "its digest n1 withdrawn"},
		"turned off, done": {view: func(v *view) {}, age: day, kind: KindNone, reason: ReasonUpToDate},
		"turned off, not told": {view: func(v *view) {
			settled(v)
			v.secret.Live, v.obs.Staged, v.c.Key.Next = v.secret.Live.withoutNext(), nil, false
		}, age: day, kind: KindStage, reason: ReasonNextKeyOff, detail: "its digest n1 withdrawn"},
		"drift comes first":   {view: func(v *view) { settled(v); v.obs.Staged = nil; v.secret.Version = 2 }, age: day, kind: KindRepair, reason: ReasonDrifted},
		"a lost ledger first": {view: func(v *view) { settled(v); v.record = nil }, age: day, kind: KindRepair, reason: ReasonBehind},
		"staging fails, and it is due": {view: func(v *view) {
			v.c.Key.Next = true
			v.record.State, v.record.LastFailure = StateFailing, &Failure{Operation: KindStage}
			v.record.Hold = &Hold{Until: start.Add(70 * day), Class: ClassVault, SpecDigest: specDigest(v.desired, v.c)}
		}, age: 61 * day, kind: KindRenew, reason: ReasonThreshold},
		"staging fails": {view: func(v *view) {
			v.c.Key.Next = true
			v.record.State, v.record.LastFailure = StateFailing, &Failure{Operation: KindStage}
			v.record.Hold = &Hold{Until: start.Add(70 * day), Class: ClassVault, SpecDigest: specDigest(v.desired, v.c)}
		}, age: 50 * day, kind: KindHold, reason: ReasonBackoff},
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
	off := specDigest(desire(c), c)
	c.Key.Next = true
	if on := specDigest(desire(c), c); on == off {
		t.Error("key.next is not in the digest")
	}
	set := ChangeOf(desire(certificates("api")()...), desire(changed("api", func(c *spec.Certificate) { c.Key.Next = true })()...), seenLive(certificate("api", "api.example.com")), start)
	if len(set.Certificates) != 1 || len(set.Certificates[0].Settings) != 1 || set.Certificates[0].Settings[0].Effect != EffectAtOnce {
		t.Errorf("change: %+v", set.Certificates)
	}
}
