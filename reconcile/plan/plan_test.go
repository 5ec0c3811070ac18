package plan_test

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestPlan(t *testing.T) {
	type setup struct {
		spec    func(*spec.Certificate)
		live    func(*ledger.Live)
		secret  func(*plan.Secret)
		pending *plan.Pending
		hold    *ledger.Hold
		after   time.Duration // since issuance
	}
	cases := map[string]struct {
		setup
		kind   ledger.Kind
		reason ledger.Reason
		detail string // part of the detail
	}{
		"fresh": {kind: ledger.KindNone, reason: ledger.ReasonUpToDate, detail: "due 2027-01-22"},
		"never written": {setup: setup{secret: func(s *plan.Secret) { *s = plan.Secret{} }},
			kind: ledger.KindIssue, reason: ledger.ReasonMissing, detail: "no secret at secret/tls/api"},
		"deleted": {setup: setup{secret: func(s *plan.Secret) { s.Readable = false }},
			kind: ledger.KindIssue, reason: ledger.ReasonDeleted, detail: "version 1 of secret/tls/api was deleted"},
		"threshold": {setup: setup{after: 60 * times.Day},
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold, detail: "30 days left"},
		"just before the threshold": {setup: setup{after: 60*times.Day - time.Second},
			kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"expired": {setup: setup{after: 91 * times.Day},
			kind: ledger.KindRenew, reason: ledger.ReasonExpired, detail: "it expired 2027-02-21"},
		"a six-day certificate fresh from the CA": {setup: setup{live: func(l *ledger.Live) { l.NotAfter = reconciletest.Start.Add(160 * time.Hour) }},
			kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"a six-day certificate in its last third": {setup: setup{live: func(l *ledger.Live) { l.NotAfter = reconciletest.Start.Add(160 * time.Hour) }, after: 107 * time.Hour},
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold, detail: "2 days left"},
		"unmanaged": {setup: setup{spec: func(c *spec.Certificate) { c.Renewal.Auto = false }, after: 89 * times.Day},
			kind: ledger.KindNone, reason: ledger.ReasonUnmanaged, detail: "expires 2027-02-21"},
		"unmanaged and changed": {setup: setup{spec: func(c *spec.Certificate) { c.Renewal.Auto = false; c.Key.Curve = "P-384" }},
			kind: ledger.KindNone, reason: ledger.ReasonUnmanaged},
		"unmanaged but a rotation is asked for": {setup: setup{spec: func(c *spec.Certificate) { c.Renewal.Auto = false; c.Rotate = "now" }},
			kind: ledger.KindRotate, reason: ledger.ReasonRotate, detail: "now"},
		"rotation done": {setup: setup{spec: func(c *spec.Certificate) { c.Rotate = "now" }, live: func(l *ledger.Live) { l.Rotate = "now" }},
			kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"names added": {setup: setup{live: func(l *ledger.Live) { l.NamesDigest = keypair.NamesDigest([]string{"other.example.com"}) }},
			kind: ledger.KindReissue, reason: ledger.ReasonChanged, detail: "domains"},
		"curve stated": {setup: setup{spec: func(c *spec.Certificate) { c.Key.Curve = "P-384" }},
			kind: ledger.KindReissue, reason: ledger.ReasonChanged, detail: "key"},
		"default shape left out": {setup: setup{live: func(l *ledger.Live) { l.KeyShape = "rsa-4096" }},
			kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"another CA": {setup: setup{live: func(l *ledger.Live) { l.Directory = "https://old.example/dir" }},
			kind: ledger.KindReissue, reason: ledger.ReasonChanged, detail: "issuer"},
		"another profile": {setup: setup{live: func(l *ledger.Live) { l.Profile = "shortlived" }},
			kind: ledger.KindReissue, reason: ledger.ReasonChanged, detail: "profile"},
		"not certroll's": {setup: setup{secret: func(s *plan.Secret) { s.Live, s.Owner = nil, "" }},
			kind: ledger.KindAdopt, reason: ledger.ReasonForeign, detail: "certroll did not write it"},
		"another certificate's": {setup: setup{secret: func(s *plan.Secret) { s.Owner = "old" }},
			kind: ledger.KindAdopt, reason: ledger.ReasonForeign, detail: `belonged to certificate "old"`},
		"overwritten": {setup: setup{secret: func(s *plan.Secret) { s.Version = 2 }},
			kind: ledger.KindRepair, reason: ledger.ReasonDrifted, detail: "version 2 of secret/tls/api was not written by certroll"},
		"died before the metadata": {setup: setup{secret: func(s *plan.Secret) { s.Live, s.Owner = nil, "" }, pending: &plan.Pending{KeyDigest: "k2", Follows: 0}},
			kind: ledger.KindRepair, reason: ledger.ReasonUnfinished, detail: "while it wrote"},
		"died before the metadata of a renewal": {setup: setup{secret: func(s *plan.Secret) { s.Version = 2 }, pending: &plan.Pending{KeyDigest: "k2", Follows: 1}},
			kind: ledger.KindRepair, reason: ledger.ReasonUnfinished, detail: "while it wrote"},
		"died before it told": {setup: setup{pending: &plan.Pending{KeyDigest: "k1"}},
			kind: ledger.KindRepair, reason: ledger.ReasonUnfinished, detail: "after it had written"},
		"overwritten while an attempt waits": {setup: setup{secret: func(s *plan.Secret) { s.Version = 3 }, pending: &plan.Pending{KeyDigest: "k2", Follows: 1}},
			kind: ledger.KindRepair, reason: ledger.ReasonDrifted},
		"a failed attempt keeps the key": {setup: setup{pending: &plan.Pending{KeyDigest: "k1", Follows: 1}},
			kind: ledger.KindNone, reason: ledger.ReasonUpToDate},
		"died before the write": {setup: setup{pending: &plan.Pending{KeyDigest: "k2", Follows: 1}, after: 61 * times.Day},
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
		"held": {setup: setup{after: 61 * times.Day, hold: &ledger.Hold{Until: reconciletest.Start.Add(62 * times.Day), Class: ledger.ClassCAUnavailable, Reason: "failure 1"}},
			kind: ledger.KindHold, reason: ledger.ReasonBackoff, detail: "failure 1"},
		"held by the CA": {setup: setup{after: 61 * times.Day, hold: &ledger.Hold{Until: reconciletest.Start.Add(62 * times.Day), Class: ledger.ClassRateLimited, Reason: "too many"}},
			kind: ledger.KindHold, reason: ledger.ReasonRateLimited, detail: "too many"},
		"hold over": {setup: setup{after: 62 * times.Day, hold: &ledger.Hold{Until: reconciletest.Start.Add(62 * times.Day)}},
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
		"a hold of another spec": {setup: setup{after: 61 * times.Day, hold: &ledger.Hold{Until: reconciletest.Start.Add(70 * times.Day), SpecDigest: "other"}},
			kind: ledger.KindRenew, reason: ledger.ReasonThreshold},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := reconciletest.Certificate("api", "api.example.com")
			if tc.spec != nil {
				tc.spec(c)
			}
			desired := reconciletest.Desire(c)
			secret := reconciletest.LiveSecret(c, tc.live)
			if tc.secret != nil {
				tc.secret(&secret)
			}
			obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{plan.TargetOf(c): secret}, Pending: map[string]plan.Pending{}, Records: map[string]*ledger.Record{}}
			if tc.pending != nil {
				obs.Pending["api"] = *tc.pending
			}
			r := reconciletest.LiveRecord(c, secret)
			if r.Hold = tc.hold; r.Hold != nil && r.Hold.SpecDigest == "" {
				r.Hold.SpecDigest = plan.SpecDigest(desired, c)
			}
			obs.Records["api"] = r
			actions := plan.New(desired, obs, reconciletest.Start.Add(tc.after)).Actions
			if len(actions) != 1 {
				t.Fatalf("%d actions", len(actions))
			}
			a := actions[0]
			if a.Kind != tc.kind || a.Reason != tc.reason || !strings.Contains(a.Detail, tc.detail) {
				t.Errorf("got %s, %s, %q; want %s, %s, ...%q...", a.Kind, a.Reason, a.Detail, tc.kind, tc.reason, tc.detail)
			}
		})
	}
}

// TestRecordBehind checks that the record follows the spec even if nothing needs to be
// issued.
func TestRecordBehind(t *testing.T) {
	cases := map[string]struct {
		record func(*ledger.Record) *ledger.Record
		spec   func(*spec.Certificate)
		detail string
	}{
		"lost": {record: func(*ledger.Record) *ledger.Record { return nil }, detail: "no record of it"},
		"back": {record: func(r *ledger.Record) *ledger.Record { r.State = ledger.StateRetired; return r }, detail: "its block is back"},
		"a change reverted": {record: func(r *ledger.Record) *ledger.Record {
			r.State, r.Hold = ledger.StateFailing, &ledger.Hold{Until: reconciletest.Start.Add(times.Day), SpecDigest: "other"}
			return r
		}, detail: "not asked for any more"},
		"another serial": {record: func(r *ledger.Record) *ledger.Record { l := *r.Live; l.Serial = "b2"; r.Live = &l; return r }, detail: "another certificate"},
		"labels":         {spec: func(c *spec.Certificate) { c.Labels = map[string]string{"team": "edge"} }, detail: "changed labels"},
		"on_remove":      {spec: func(c *spec.Certificate) { c.OnRemove = spec.Revoke }, detail: "changed on_remove"},
		"probe":          {spec: func(c *spec.Certificate) { c.Probes = reconciletest.Endpoints("api.example.com") }, detail: "changed probe"},
		"file":           {spec: func(c *spec.Certificate) { c.File = "other.hcl" }, detail: "the file it stands in"},
		"threshold":      {spec: func(c *spec.Certificate) { c.Renewal.ThresholdDays = 7 }, detail: "changed renewal"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := reconciletest.Certificate("api", "api.example.com")
			secret := reconciletest.LiveSecret(c, nil)
			r := reconciletest.LiveRecord(c, secret)
			if tc.record != nil {
				r = tc.record(r)
			}
			if tc.spec != nil {
				tc.spec(c)
			}
			obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{plan.TargetOf(c): secret}, Records: map[string]*ledger.Record{}}
			if r != nil {
				obs.Records["api"] = r
			}
			a := plan.New(reconciletest.Desire(c), obs, reconciletest.Start).Actions[0]
			if a.Kind != ledger.KindRepair || a.Reason != ledger.ReasonBehind || !strings.Contains(a.Detail, tc.detail) {
				t.Errorf("got %s, %s, %q; want a repair with ...%q...", a.Kind, a.Reason, a.Detail, tc.detail)
			}
		})
	}
}

// TestNinetyDays checks that a threshold of one third of the lifetime does not exceed
// it, although notAfter is inclusive and the dates differ by one second less.
func TestNinetyDays(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	l := &ledger.Live{NotBefore: reconciletest.Start, NotAfter: reconciletest.Start.Add(90*times.Day - time.Second)}
	if at, capped := plan.RenewAt(c, l); capped || !at.Equal(l.NotAfter.Add(-30*times.Day)) {
		t.Errorf("due %s, capped %v", at, capped)
	}
}

func TestPlanIsTotal(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	empty := &plan.Observed{}
	if a := plan.New(reconciletest.Desire(c), empty, time.Time{}).Actions; len(a) != 1 || a[0].Kind != ledger.KindIssue {
		t.Errorf("with nothing observed: %+v", a)
	}
	if a := plan.New(reconciletest.Desire(), empty, time.Time{}).Actions; len(a) != 0 {
		t.Errorf("with nothing desired: %+v", a)
	}
}

func TestRetireLeavesAnHeirAlone(t *testing.T) {
	c := reconciletest.Certificate("new", "api.example.com")
	c.Vault.Path = "tls/api"
	old := reconciletest.LiveSecret(reconciletest.Certificate("api", "api.example.com"), nil)
	record := &ledger.Record{Certificate: "api", State: ledger.StateLive, OnRemove: spec.Delete, Live: old.Live}
	obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{{Mount: "secret", Path: "tls/api"}: old}, Records: map[string]*ledger.Record{"api": record}}
	actions := plan.New(reconciletest.Desire(c), obs, reconciletest.Start).Actions
	if len(actions) != 2 || actions[0].Kind != ledger.KindRetire || !strings.Contains(actions[0].Detail, "new now claims its path") || actions[1].Kind != ledger.KindAdopt {
		t.Errorf("plan: %+v", actions)
	}
}

func TestBackoff(t *testing.T) {
	far := reconciletest.Start.Add(60 * times.Day)
	cases := map[string]struct {
		failures int
		class    ledger.Class
		said     time.Time
		notAfter time.Time
		least    time.Duration
		most     time.Duration
	}{
		"first":                       {1, ledger.ClassValidation, time.Time{}, far, time.Minute, 66 * time.Second},
		"second":                      {2, ledger.ClassValidation, time.Time{}, far, 10 * time.Minute, 11 * time.Minute},
		"third":                       {3, ledger.ClassValidation, time.Time{}, far, 100 * time.Minute, 110 * time.Minute},
		"fourth":                      {4, ledger.ClassValidation, time.Time{}, far, 24 * time.Hour, 27 * time.Hour},
		"hundredth":                   {100, ledger.ClassValidation, time.Time{}, far, 24 * time.Hour, 27 * time.Hour},
		"nothing live":                {4, ledger.ClassValidation, time.Time{}, time.Time{}, 24 * time.Hour, 27 * time.Hour},
		"a day before expiry":         {4, ledger.ClassValidation, time.Time{}, reconciletest.Start.Add(24 * time.Hour), 144 * time.Minute, 160 * time.Minute},
		"a minute before expiry":      {4, ledger.ClassValidation, time.Time{}, reconciletest.Start.Add(time.Minute), 10 * time.Minute, 11 * time.Minute},
		"after expiry":                {4, ledger.ClassValidation, time.Time{}, reconciletest.Start.Add(-time.Hour), 10 * time.Minute, 11 * time.Minute},
		"a day after expiry":          {100, ledger.ClassValidation, time.Time{}, reconciletest.Start.Add(-times.Day), 144 * time.Minute, 160 * time.Minute},
		"a month after expiry":        {1000, ledger.ClassCARejected, time.Time{}, reconciletest.Start.Add(-30 * times.Day), 24 * time.Hour, 27 * time.Hour},
		"rate limited, with a word":   {1, ledger.ClassRateLimited, reconciletest.Start.Add(7 * time.Hour), far, 7 * time.Hour, 7 * time.Hour},
		"rate limited, a short word":  {2, ledger.ClassRateLimited, reconciletest.Start.Add(time.Second), far, time.Minute, 66 * time.Second},
		"rate limited, at once":       {1, ledger.ClassRateLimited, reconciletest.Start, far, time.Minute, 66 * time.Second},
		"rate limited, in the past":   {1, ledger.ClassRateLimited, reconciletest.Start.Add(-time.Hour), far, time.Minute, 66 * time.Second},
		"rate limited near expiry":    {1, ledger.ClassRateLimited, reconciletest.Start.Add(20 * time.Hour), reconciletest.Start.Add(24 * time.Hour), 20 * time.Hour, 20 * time.Hour},
		"a short word again":          {3, ledger.ClassRateLimited, reconciletest.Start.Add(time.Second), far, 100 * time.Minute, 110 * time.Minute},
		"rate limited, nonsense":      {1, ledger.ClassRateLimited, reconciletest.Start.Add(366 * times.Day), far, 8 * times.Day, 8 * times.Day},
		"unavailable, nonsense":       {5, ledger.ClassCAUnavailable, reconciletest.Start.Add(366 * times.Day), far, 8 * times.Day, 8 * times.Day},
		"unavailable, with a word":    {1, ledger.ClassCAUnavailable, reconciletest.Start.Add(3 * time.Hour), far, 3 * time.Hour, 3 * time.Hour},
		"unavailable, a shorter word": {2, ledger.ClassCAUnavailable, reconciletest.Start.Add(time.Second), far, 10 * time.Minute, 11 * time.Minute},
		"unavailable near expiry":     {1, ledger.ClassCAUnavailable, reconciletest.Start.Add(20 * time.Hour), reconciletest.Start.Add(24 * time.Hour), 8 * time.Hour, 8 * time.Hour},
		"unavailable, at once":        {1, ledger.ClassCAUnavailable, reconciletest.Start, far, time.Minute, 66 * time.Second},
		"CAA":                         {1, ledger.ClassCAA, time.Time{}, far, 24 * time.Hour, 27 * time.Hour},
		"paused near expiry":          {1, ledger.ClassPaused, time.Time{}, reconciletest.Start.Add(time.Hour), 24 * time.Hour, 27 * time.Hour},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := throttle.Backoff("api", tc.failures, tc.class, reconciletest.Start, tc.said, tc.notAfter).Sub(reconciletest.Start)
			if got < tc.least || got > tc.most {
				t.Errorf("waits %s, want %s to %s", got, tc.least, tc.most)
			}
			if again := throttle.Backoff("api", tc.failures, tc.class, reconciletest.Start, tc.said, tc.notAfter).Sub(reconciletest.Start); again != got {
				t.Errorf("the second time it waits %s, the first time %s", again, got)
			}
		})
	}
}

// TestAMendedCauseEndsNoRateLimit checks that the CA's Retry-After still applies after
// the cause was fixed.
func TestAMendedCauseEndsNoRateLimit(t *testing.T) {
	said := reconciletest.Start.Add(7 * time.Hour)
	if got := throttle.Backoff("issuer.ca", 2, ledger.ClassRateLimited, time.Time{}, said, reconciletest.Start.Add(60*times.Day)); !got.Equal(said) {
		t.Errorf("waits until %s, want %s", got, said)
	}
}

func TestShapeOf(t *testing.T) {
	cases := map[string]struct {
		key      spec.Key
		recorded string
		want     string
	}{
		"nothing said, nothing recorded": {spec.Key{}, "", "ecdsa-P-256"},
		"nothing said":                   {spec.Key{}, "rsa-4096", "rsa-4096"},
		"same algorithm said":            {spec.Key{Algorithm: spec.RSA}, "rsa-4096", "rsa-4096"},
		"other algorithm said":           {spec.Key{Algorithm: spec.ECDSA}, "rsa-4096", "ecdsa-P-256"},
		"only a curve":                   {spec.Key{Curve: "P-521"}, "rsa-4096", "ecdsa-P-521"},
		"only a size":                    {spec.Key{Size: 3072}, "ecdsa-P-256", "rsa-3072"},
		"rsa at first issue":             {spec.Key{Algorithm: spec.RSA}, "", "rsa-2048"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := keypair.ShapeOf(tc.key, tc.recorded); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
