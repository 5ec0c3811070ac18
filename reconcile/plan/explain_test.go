package plan_test

import (
	"encoding/json"
	"math/rand"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestExplain checks that Explain lists every rule in order with what it found, and
// that the first match is Plan's decision.
func TestExplain(t *testing.T) {
	cases := map[string]struct {
		view func(*reconciletest.View)
		age  time.Duration
		hits string            // the matching rules, in order
		saw  map[string]string // parts of their findings
	}{
		"up to date": {nil, times.Day, "up to date", map[string]string{
			"missing": "secret/tls/api, version 1", "unfinished": "no pending secret", "foreign": `the metadata names certificate "api"`,
			"drifted": "version 1, certroll wrote version 1", "rotate": "no rotation is asked for", "changed": `1 name, key ecdsa-P-256, issuer ca, profile ""; live: 1 name, names digest `,
			"due":        "now 2026-11-24T12:00:00Z, expires 2027-02-21T12:00:00Z, threshold reached 2027-01-22T12:00:00Z, the CA suggests nothing, renewal.auto on",
			"key age":    "key of 2026-11-23, no key.max_age",
			"revocation": "none waits", "record": "state live, written 2026-11-23T12:00:00Z", "unmanaged": "renewal.auto on",
		}},
		"due by the CA": {func(v *reconciletest.View) { v.Says(50*times.Day, 52*times.Day, 0) }, 53 * times.Day, "due, up to date", map[string]string{
			"due": "the CA suggests 2027-01-12T12:00:00Z to 2027-01-14T12:00:00Z, chosen 2027-01-1"}},
		"never written": {func(v *reconciletest.View) { v.Secret, v.Record = plan.Secret{}, nil }, 0, "missing", map[string]string{
			"missing": "secret/tls/api was never written", "foreign": "the metadata names no certificate", "record": "the ledger has no record", "due": "nothing is live"}},
		"a rotation, and due": {func(v *reconciletest.View) { v.C.Rotate = "leaked" }, 61 * times.Day, "rotate, due, up to date", map[string]string{
			"rotate": `rotate = "leaked", the live one was made for ""`}},
		"paused": {func(v *reconciletest.View) { reconciletest.Pause(v, reconciletest.Start.Add(80*times.Day), "moves") }, 61 * times.Day, "unmanaged, up to date", map[string]string{
			"due": "renewal.auto off", "unmanaged": "renewal.auto off until 2027-02-11T12:00:00Z (moves)"}},
		"a new name": {func(v *reconciletest.View) {
			v.C.Domains = append(v.C.Domains, spec.Domain{ASCII: "www.example.com"})
		}, times.Day, "changed, record, up to date", map[string]string{"changed": `2 names, key ecdsa-P-256, issuer ca, profile ""; live: 1 name, `}},
		"a new name, and no record": {func(v *reconciletest.View) {
			v.C.Domains, v.Record.Live = append(v.C.Domains, spec.Domain{ASCII: "www.example.com"}), nil
		}, times.Day, "changed, record, up to date", map[string]string{"changed": `; live: other names, names digest `}},
		"a key of age": {func(v *reconciletest.View) { v.C.Key.MaxAge = 20 * times.Day }, 30 * times.Day, "key age, up to date", map[string]string{
			"key age": "key of 2026-11-23, key.max_age 20 days"}},
		"a revocation": {func(v *reconciletest.View) { v.Record.Revocations = []ledger.Revocation{{Serial: "99"}} }, times.Day, "revocation, up to date", map[string]string{
			"revocation": "serial 99 waits to be revoked"}},
		"deleted": {func(v *reconciletest.View) { v.Secret.Readable = false }, times.Day, "missing, up to date", map[string]string{"missing": "version 1 is deleted"}},
		"a next key": {func(v *reconciletest.View) { v.C.Key.Next = true }, times.Day, "next key, up to date", map[string]string{
			"next key": "key.next on, none is staged, none published"}},
		"a late write": {func(v *reconciletest.View) { v.Obs.Pending["api"] = plan.Pending{Stray: true} }, times.Day, "record, up to date", map[string]string{"unfinished": "without metadata"}},
		"pending":      {func(v *reconciletest.View) { v.Obs.Pending["api"] = plan.Pending{Follows: 1} }, times.Day, "up to date", map[string]string{"unfinished": "a pending secret that follows version 1"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := reconciletest.NewView()
			if tc.view != nil {
				tc.view(v)
			}
			a := v.At(tc.age)
			verdicts, ok := plan.Explain(v.Desired, v.Obs, reconciletest.Start.Add(tc.age), "api")
			if !ok || len(verdicts) != len(plan.Rules) {
				t.Fatalf("%d verdicts", len(verdicts))
			}
			var hits []string
			for i, d := range verdicts {
				if d.Rule != plan.Rules[i].Name || d.Saw == "" {
					t.Errorf("verdict %d: %+v", i, d)
				}
				if !strings.Contains(d.Saw, tc.saw[d.Rule]) {
					t.Errorf("%s saw %q, want ...%q...", d.Rule, d.Saw, tc.saw[d.Rule])
				}
				if d.Hit {
					if len(hits) == 0 && (d.Kind != a.Kind || d.Reason != a.Reason || d.Detail != a.Detail) {
						t.Errorf("%s decides %s %s, the plan says %s %s", d.Rule, d.Kind, d.Reason, a.Kind, a.Reason)
					}
					hits = append(hits, d.Rule)
				}
			}
			if got := strings.Join(hits, ", "); got != tc.hits {
				t.Errorf("hits: %s; want %s", got, tc.hits)
			}
		})
	}
	if _, ok := plan.Explain(reconciletest.Desire(), &plan.Observed{}, reconciletest.Start, "api"); ok {
		t.Error("it explains a certificate that is not there")
	}
}

// arbitrary returns a random value of a part of Observed.
func arbitrary[T any](r *rand.Rand) T {
	v, ok := quick.Value(reflect.TypeFor[T](), r)
	if !ok {
		panic("no value")
	}
	return v.Interface().(T)
}

// anyTime returns times close to each other, and a few absurd ones.
func anyTime(r *rand.Rand) time.Time {
	switch r.Intn(8) {
	case 0:
		return time.Time{}
	case 1:
		return time.Unix(r.Int63n(1<<40)-1<<39, 0)
	default:
		return reconciletest.Start.Add(time.Duration(r.Int63n(int64(200*times.Day))) - 100*times.Day)
	}
}

// mostly usually returns the fitting value, so that the later rules are reached as
// well.
func mostly[T any](r *rand.Rand, fits, other T) T {
	if r.Intn(4) > 0 {
		return fits
	}
	return other
}

// anyView returns any input that Observe might produce, however absurd.
func anyView(r *rand.Rand) (*spec.Spec, *plan.Observed, time.Time) {
	v := reconciletest.NewView()
	other := "https://gts.example/dir"
	v.Desired.Issuers["gts"] = &spec.Issuer{Name: "gts", Directory: other}
	v.Desired.DNS["dr"] = &spec.DNSAccount{Name: "dr"}
	v.Desired.Issuers["ca"].Limits = mostly(r, reconciletest.LetsEncrypt(), nil)
	v.C.DNS = mostly(r, []string{"lab", "dr"}, []string{"lab"})
	v.C.Fallbacks = mostly(r, []string{"gts"}, nil)
	v.C.Rotate = mostly(r, "", arbitrary[string](r))
	v.C.Key = spec.Key{Rotation: spec.RotateNever, MaxAge: time.Duration(r.Int63())}
	v.C.Renewal = spec.Renewal{Auto: r.Intn(3) > 0, ThresholdDays: 1 + r.Intn(397), ThresholdPercent: r.Intn(100), ThresholdStated: r.Intn(2) == 0,
		Until: anyTime(r), Reason: arbitrary[string](r), FallbackAfter: time.Duration(r.Int63n(int64(times.Day)))}

	l := v.Secret.Live
	l.NotBefore, l.NotAfter = mostly(r, l.NotBefore, anyTime(r)), mostly(r, l.NotAfter, anyTime(r))
	l.Serial, l.NamesDigest, l.Rotate = mostly(r, l.Serial, arbitrary[string](r)), mostly(r, l.NamesDigest, arbitrary[string](r)), arbitrary[string](r)
	l.KeySince, l.IssuedAt, l.Directory, l.Issuer = anyTime(r), anyTime(r), mostly(r, l.Directory, other), mostly(r, l.Issuer, "gts")
	l.Version, l.ARI, l.KeyShape = mostly(r, 1, r.Int()), arbitrary[string](r), mostly(r, l.KeyShape, arbitrary[string](r))
	if r.Intn(2) == 0 {
		v.C.Key.Next = r.Intn(3) > 0
		l.NextKeyDigest, l.NextKeyShape, l.NextKeySince = mostly(r, "n1", arbitrary[string](r)), mostly(r, l.KeyShape, "rsa-2048"), mostly(r, times.Optional(anyTime(r)), nil)
		v.Obs.Staged = mostly(r, map[string]plan.Staged{"api": {KeyDigest: mostly(r, "n1", l.KeyDigest), KeyShape: mostly(r, l.KeyShape, arbitrary[string](r))}}, nil)
	}
	v.Secret.Live = mostly(r, l, nil)
	v.Secret.Owner = mostly(r, "api", arbitrary[string](r))
	v.Secret.Version = mostly(r, 1, r.Intn(5))
	v.Secret.Readable = r.Intn(5) > 0

	record := v.Record
	record.State = mostly(r, ledger.StateLive, mostly(r, ledger.StateFailing, ledger.State(arbitrary[string](r))))
	record.Live = mostly(r, record.Live, nil)
	record.FailingSince = mostly(r, nil, times.Optional(anyTime(r)))
	record.LastFailure = mostly(r, nil, &ledger.Failure{At: anyTime(r), Class: ledger.Classes[r.Intn(len(ledger.Classes))], Operation: mostly(r, ledger.KindRevoke, ledger.KindStage)})
	record.Hold = mostly(r, nil, &ledger.Hold{Until: anyTime(r), Class: ledger.Classes[r.Intn(len(ledger.Classes))], SpecDigest: plan.SpecDigest(v.Desired, v.C)})
	record.RenewalInfo = mostly(r, &ledger.RenewalInfo{Serial: "a1", Start: anyTime(r), End: anyTime(r), RenewAt: anyTime(r), CheckedAt: anyTime(r)}, nil)
	record.Unmanaged = mostly(r, nil, &ledger.Unmanaged{Until: times.Optional(anyTime(r))})
	record.Revocations = mostly(r, nil, []ledger.Revocation{{Serial: arbitrary[string](r)}})
	v.Obs.Secrets[plan.TargetOf(v.C)] = v.Secret
	if r.Intn(5) > 0 {
		v.Obs.Records["api"] = record
	}
	gone := *record
	gone.Certificate = "gone"
	v.Obs.Records["gone"] = mostly(r, &gone, &ledger.Record{Certificate: "gone"})
	if r.Intn(4) == 0 {
		v.Obs.Pending["api"] = plan.Pending{KeyDigest: arbitrary[string](r), Follows: r.Intn(3)}
	}
	for range r.Intn(20) {
		v.Obs.History = append(v.Obs.History, ledger.Event{Time: anyTime(r), Operation: mostly(r, ledger.KindRenew, ledger.Kind(arbitrary[string](r))), Certificate: string(rune('a' + r.Intn(6))),
			Status: mostly(r, ledger.Failed, ledger.Success), Class: ledger.Classes[r.Intn(len(ledger.Classes))], Issuer: "ca", Directory: "https://ca.example/dir", DNSAccount: mostly(r, "lab", "dr"),
			OrderURL: arbitrary[string](r), Orders: r.Intn(3), HoldUntil: mostly(r, nil, times.Optional(anyTime(r))), Failures: r.Intn(4), FailedNames: []string{"api.example.com"},
			Names: []string{"api.example.com"}, Message: mostly(r, "503", "api.example.com"), PassedOver: mostly(r, nil, []ledger.PassedOver{{Account: "lab", Class: ledger.ClassDNSUnauthorized}})})
	}
	return v.Desired, v.Obs, mostly(r, reconciletest.Start.Add(time.Duration(r.Int63n(int64(120*times.Day)))), anyTime(r))
}

// TestPlanOfAnything checks that Plan and Explain are total and deterministic, with one
// action and a reason for each certificate.
func TestPlanOfAnything(t *testing.T) {
	for seed := range int64(5000) {
		desired, obs, now := anyView(rand.New(rand.NewSource(seed)))
		actions := plan.New(desired, obs, now).Actions
		again := plan.New(desired, obs, now).Actions
		seen := map[string]bool{}
		for i, a := range actions {
			if seen[a.Certificate] {
				t.Fatalf("seed %d: two actions for %s", seed, a.Certificate)
			}
			seen[a.Certificate] = true
			if a.Kind == "" || a.Reason == "" || a.Detail == "" && a.Kind != ledger.KindRotate && a.Kind != ledger.KindHold {
				t.Fatalf("seed %d: %+v", seed, a)
			}
			if a.Kind == ledger.KindHold && (!a.NotBefore.After(now) || a.Wants == "" || a.Wants == ledger.KindHold) {
				t.Fatalf("seed %d: held until %s at %s: %+v", seed, a.NotBefore, now, a)
			}
			if a.Kind.Orders() && a.Issuer == nil {
				t.Fatalf("seed %d: %s of nobody", seed, a.Kind)
			}
			if b := again[i]; a.Kind != b.Kind || a.Reason != b.Reason || a.Detail != b.Detail || !a.NotBefore.Equal(b.NotBefore) {
				t.Fatalf("seed %d: first %+v, then %+v", seed, a, b)
			}
		}
		if !seen["api"] {
			t.Fatalf("seed %d: nothing said of api", seed)
		}
		if _, ok := plan.Explain(desired, obs, now, "api"); !ok {
			t.Fatalf("seed %d: not explained", seed)
		}
	}
}

// TestPlanningAfterAnApplyIsEmpty checks that nothing is left to do after an apply, for
// any spec.
func TestPlanningAfterAnApplyIsEmpty(t *testing.T) {
	for seed := range int64(60) {
		r := rand.New(rand.NewSource(seed))
		w := reconciletest.NewWorld(t)
		w.Ca.Lifetime = []time.Duration{90 * times.Day, 45 * times.Day, 160 * time.Hour, time.Hour}[r.Intn(4)]
		if r.Intn(2) == 0 {
			w.Ca.Info = func(string) (from, to, again time.Time) {
				return w.At.Add(w.Ca.Lifetime / 2), w.At.Add(w.Ca.Lifetime * 6 / 10), w.At.Add(6 * time.Hour)
			}
		}
		w.Desired.Issuers["gts"] = &spec.Issuer{Name: "gts", Directory: "https://gts.example/dir", Profile: "short", Limits: reconciletest.LetsEncrypt()}
		w.Desired.DNS["dr"] = &spec.DNSAccount{Name: "dr", Challenge: spec.DNS01}
		change := func(c *spec.Certificate) {
			if r.Intn(2) == 0 {
				c.Issuer = []string{"ca", "gts"}[r.Intn(2)]
			}
			c.DNS = [][]string{{"lab"}, {"dr"}, {"lab", "dr"}}[r.Intn(3)]
			c.Key = []spec.Key{{Rotation: spec.RotateAlways}, {Rotation: spec.RotateNever, MaxAge: 10 * times.Day}, {Curve: "P-384", Rotation: spec.RotateNever},
				{Rotation: spec.RotateAlways, Next: true}, {Curve: "P-384", Rotation: spec.RotateAlways, Next: true}}[r.Intn(5)]
			c.Renewal = spec.Renewal{Auto: r.Intn(3) > 0, ThresholdDays: 1 + r.Intn(60), ThresholdPercent: r.Intn(2) * r.Intn(99), ThresholdStated: r.Intn(2) == 0, FallbackAfter: 3 * times.Day}
			if !c.Renewal.Auto {
				c.Renewal.Until, c.Renewal.Reason = reconciletest.Start.Add(time.Duration(r.Intn(40))*times.Day), "moves"
			}
			if r.Intn(3) == 0 {
				c.Rotate, c.RotateRevoke = arbitrary[string](r)+"x", &spec.Revocation{Code: 1}
			}
			c.Labels = map[string]string{"n": string(rune('a' + r.Intn(3)))}
			if r.Intn(3) == 0 {
				c.Vault.Path += "/moved"
			}
			if r.Intn(3) == 0 {
				c.Domains = append(c.Domains, spec.Domain{ASCII: string(rune('a'+len(c.Domains))) + ".example.org"})
			}
		}
		for _, c := range reconciletest.Crowd(4, "example.com") {
			c.Domains = c.Domains[:1]
			change(c)
			w.Desired.Certificates = append(w.Desired.Certificates, c)
		}
		for range 4 {
			for passes := 0; ; passes++ {
				if n := len(w.Settle().Results); n == 0 {
					break
				}
				if passes == 5 { // next key, order, note of the pause, overdue event
					t.Fatalf("seed %d: it never comes to rest: %+v", seed, w.Plan())
				}
			}
			for _, a := range w.Plan() {
				if a.Kind != ledger.KindNone && a.Reason != ledger.ReasonNextKeyNew {
					t.Fatalf("seed %d: after an apply the plan says %s %s: %s", seed, a.Kind, a.Reason, a.Detail)
				}
			}
			w.At = w.At.Add(time.Duration(r.Intn(20)) * times.Day)
			for _, c := range w.Desired.Certificates {
				if r.Intn(2) == 0 {
					change(c)
				}
			}
		}
	}
}

func FuzzPlanOfARecord(f *testing.F) {
	v := reconciletest.NewView()
	b, err := ledger.MarshalRecord(v.Record)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, []byte(`{"schema":1,"id":"a","time":"2026-11-23T12:00:00Z","operation":"renew","certificate":"b","status":"failure","class":"ca_unavailable","issuer":"ca"}`), int64(0))
	f.Fuzz(func(t *testing.T, record, event []byte, after int64) {
		v := reconciletest.NewView()
		r, err := ledger.UnmarshalRecord(record)
		if err != nil {
			return
		}
		var e ledger.Event
		if json.Unmarshal(event, &e) == nil {
			v.Obs.History = []ledger.Event{e, e, e}
		}
		v.Obs.Records[r.Certificate], v.Obs.Records["api"] = r, r
		v.Obs.Secrets[plan.TargetOf(v.C)] = plan.Secret{Version: 1, Readable: true, Owner: "api", Live: r.Live}
		now := reconciletest.Start.Add(time.Duration(after))
		plan.New(v.Desired, v.Obs, now)
		plan.Explain(v.Desired, v.Obs, now, "api")
	})
}
