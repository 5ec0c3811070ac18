package plan_test

import (
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/review"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestRuleNext(t *testing.T) {
	const p256 = "ecdsa-P-256"
	settled := func(v *reconciletest.View) { v.Published("n1", p256, 0); v.Recorded() }
	cases := map[string]struct {
		view   func(*reconciletest.View)
		age    time.Duration
		kind   ledger.Kind
		reason ledger.Reason
		detail string
		warns  string
	}{
		"published":          {view: settled, age: times.Day, kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"published, and due": {view: settled, age: 61 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
		"turned on":          {view: func(v *reconciletest.View) { v.C.Key.Next = true }, age: times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKey, detail: "made now and its digest published, nothing is ordered"},
		"turned on when due": {view: func(v *reconciletest.View) { v.C.Key.Next = true }, age: 61 * times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKey},
		"turned on too late": {view: func(v *reconciletest.View) { v.C.Key.Next = true }, age: 91 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonExpired},
		"unmanaged": {view: func(v *reconciletest.View) {
			v.C.Key.Next, v.C.Renewal.Auto = true, false
			v.Record = reconciletest.LiveRecord(v.C, v.Secret)
		}, age: times.Day, kind: ledger.KindNone, reason: ledger.ReasonUnmanaged},
		"turned on with a rotation": {view: func(v *reconciletest.View) { v.C.Key.Next, v.C.Rotate = true, "leaked" }, age: times.Day,
			kind: ledger.KindRotate, reason: ledger.ReasonRotate},
		"a rotation uses it at once": {view: func(v *reconciletest.View) { settled(v); v.C.Rotate = "leaked" }, age: time.Hour,
			kind: ledger.KindRotate, reason: ledger.ReasonRotate, warns: "published only since 2026-11-23T12:00:00Z"},
		"a rotation long after": {view: func(v *reconciletest.View) { settled(v); v.C.Rotate = "leaked" }, age: 2 * times.Day, kind: ledger.KindRotate, reason: ledger.ReasonRotate},
		"a change waits": {view: func(v *reconciletest.View) { settled(v); v.Secret.Live.NamesDigest = "other" }, age: time.Hour,
			kind: ledger.KindHold, reason: ledger.ReasonNextKeyNew, detail: "published since 2026-11-23T12:00:00Z"},
		"a change a day later": {view: func(v *reconciletest.View) { settled(v); v.Secret.Live.NamesDigest = "other" }, age: times.Day, kind: ledger.KindReissue, reason: ledger.ReasonChanged},
		"due, and published a moment ago": {view: func(v *reconciletest.View) { v.Published("n1", p256, 60*times.Day); v.Recorded() }, age: 60*times.Day + time.Hour,
			kind: ledger.KindHold, reason: ledger.ReasonNextKeyNew, detail: "days left"},
		"due, and too late to wait": {view: func(v *reconciletest.View) { v.Published("n1", p256, 85*times.Day); v.Recorded() }, age: 85*times.Day + time.Hour,
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold, warns: "may not be seen everywhere yet"},
		"due, and published by a clock that ran ahead": {view: func(v *reconciletest.View) { v.Published("n1", p256, 80*times.Day); v.Recorded() }, age: 61 * times.Day,
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
		"short lives wait a tenth": {view: func(v *reconciletest.View) { v.Lives(160 * time.Hour); settled(v); v.Secret.Live.NamesDigest = "other" }, age: 17 * time.Hour,
			kind: ledger.KindReissue, reason: ledger.ReasonChanged},
		"lost": {view: func(v *reconciletest.View) { settled(v); v.Obs.Staged = nil }, age: times.Day,
			kind: ledger.KindStage, reason: ledger.ReasonNextKeyLost, detail: "n1 was published, is gone from Vault"},
		"lost, and expired": {view: func(v *reconciletest.View) { settled(v); v.Obs.Staged = nil }, age: 91 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonExpired},
		"another shape": {view: func(v *reconciletest.View) { settled(v); v.C.Key.Curve = "P-384" }, age: 5 * times.Day,
			kind: ledger.KindStage, reason: ledger.ReasonNextKey, detail: "becomes ecdsa-P-384: the staged key (ecdsa-P-256, SPKI SHA-256 n1) is replaced; TLSA records and pins of it are to be changed"},
		"another shape, staged": {view: func(v *reconciletest.View) {
			v.Published("n2", "ecdsa-P-384", 5*times.Day)
			v.Recorded()
			v.C.Key.Curve = "P-384"
		}, age: 5*times.Day + time.Hour,
			kind: ledger.KindHold, reason: ledger.ReasonNextKeyNew},
		"another shape, published": {view: func(v *reconciletest.View) {
			v.Published("n2", "ecdsa-P-384", 5*times.Day)
			v.Recorded()
			v.C.Key.Curve = "P-384"
		}, age: 6 * times.Day,
			kind: ledger.KindReissue, reason: ledger.ReasonChanged},
		"staged, not published": {view: func(v *reconciletest.View) {
			v.C.Key.Next = true
			v.Obs.Staged = map[string]plan.Staged{"api": {KeyDigest: "n1", KeyShape: p256}}
		}, age: times.Day,
			kind: ledger.KindStage, reason: ledger.ReasonNextKey, detail: "the digest n1 is published"},
		"published, not told": {view: func(v *reconciletest.View) {
			v.Record.Live = ledger.KeepNames(v.Secret.Live, nil).WithoutNext()
			v.Published("n1", p256, 0)
		}, age: times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKey, detail: "n1"},
		"staged is the live one": {view: func(v *reconciletest.View) {
			settled(v)
			v.Obs.Staged["api"] = plan.Staged{KeyDigest: "k1", KeyShape: p256}
		}, age: times.Day,
			kind: ledger.KindStage, reason: ledger.ReasonNextKey},
		"turned off":       {view: func(v *reconciletest.View) { settled(v); v.C.Key.Next = false }, age: times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKeyOff, detail: "its digest n1 withdrawn"},
		"turned off, done": {view: func(v *reconciletest.View) {}, age: times.Day, kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"turned off, not told": {view: func(v *reconciletest.View) {
			settled(v)
			v.Secret.Live, v.Obs.Staged, v.C.Key.Next = v.Secret.Live.WithoutNext(), nil, false
		}, age: times.Day, kind: ledger.KindStage, reason: ledger.ReasonNextKeyOff, detail: "its digest n1 withdrawn"},
		"drift comes first":   {view: func(v *reconciletest.View) { settled(v); v.Obs.Staged = nil; v.Secret.Version = 2 }, age: times.Day, kind: ledger.KindRepair, reason: ledger.ReasonDrifted},
		"a lost ledger first": {view: func(v *reconciletest.View) { settled(v); v.Record = nil }, age: times.Day, kind: ledger.KindRepair, reason: ledger.ReasonBehind},
		"staging fails, and it is due": {view: func(v *reconciletest.View) {
			v.C.Key.Next = true
			v.Record.State, v.Record.LastFailure = ledger.StateFailing, &ledger.Failure{Operation: ledger.KindStage}
			v.Record.Hold = &ledger.Hold{Until: reconciletest.Start.Add(70 * times.Day), Class: ledger.ClassVault, SpecDigest: plan.SpecDigest(v.Desired, v.C)}
		}, age: 61 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
		"staging fails": {view: func(v *reconciletest.View) {
			v.C.Key.Next = true
			v.Record.State, v.Record.LastFailure = ledger.StateFailing, &ledger.Failure{Operation: ledger.KindStage}
			v.Record.Hold = &ledger.Hold{Until: reconciletest.Start.Add(70 * times.Day), Class: ledger.ClassVault, SpecDigest: plan.SpecDigest(v.Desired, v.C)}
		}, age: 50 * times.Day, kind: ledger.KindHold, reason: ledger.ReasonBackoff},
		"revoked, and no key is staged": {view: func(v *reconciletest.View) {
			v.C.Key.Next = true
			v.Record.Revoked = &ledger.Revoked{Serial: v.Secret.Live.Serial, Code: 1}
		}, age: 50 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonRevoked},
		"revoked, and staging fails": {view: func(v *reconciletest.View) {
			v.C.Key.Next = true
			v.Record.State, v.Record.LastFailure = ledger.StateFailing, &ledger.Failure{Operation: ledger.KindStage}
			v.Record.Hold = &ledger.Hold{Until: reconciletest.Start.Add(70 * times.Day), Class: ledger.ClassVault, SpecDigest: plan.SpecDigest(v.Desired, v.C)}
			v.Record.Revoked = &ledger.Revoked{Serial: v.Secret.Live.Serial, Code: 1}
		}, age: 50 * times.Day, kind: ledger.KindRenew, reason: ledger.ReasonRevoked},
		"changed and expired, and no key is staged": {view: func(v *reconciletest.View) {
			v.C.Key.Next, v.Secret.Live.NamesDigest = true, "other"
		}, age: 91 * times.Day, kind: ledger.KindReissue, reason: ledger.ReasonChanged},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := reconciletest.NewView()
			tc.view(v)
			a := v.At(tc.age)
			reconciletest.Expect(t, a, tc.kind, tc.reason, tc.detail)
			if tc.warns != "" || a.Kind.Orders() {
				reconciletest.ExpectWarning(t, a, tc.warns)
			}
		})
	}
}

// TestNextKeyInSpecDigest checks that turning key.next on ends a hold, and that digests
// from before key.next existed stay valid while it is off.
func TestNextKeyInSpecDigest(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	off := plan.SpecDigest(reconciletest.Desire(c), c)
	c.Key.Next = true
	if on := plan.SpecDigest(reconciletest.Desire(c), c); on == off {
		t.Error("key.next is not in the digest")
	}
	set := review.ChangeOf(reconciletest.Desire(reconciletest.Certificates("api")()...), reconciletest.Desire(reconciletest.Changed("api", func(c *spec.Certificate) { c.Key.Next = true })()...), reconciletest.SeenLive(reconciletest.Certificate("api", "api.example.com")), reconciletest.Start)
	if len(set.Certificates) != 1 || len(set.Certificates[0].Settings) != 1 || set.Certificates[0].Settings[0].Effect != review.EffectAtOnce {
		t.Errorf("change: %+v", set.Certificates)
	}
}
