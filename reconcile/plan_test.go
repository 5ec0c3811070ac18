package reconcile

import (
	"strings"
	"testing"
	"time"

	"certroll/spec"
)

// liveSecret is a secret as certroll left it for c, issued at start for 90 days.
func liveSecret(c *spec.Certificate, change func(*Live)) Secret {
	l := &Live{
		Serial: "a1", NotBefore: start, NotAfter: start.Add(90 * day), Names: c.Names(), NamesDigest: namesDigest(c.Names()),
		KeyDigest: "k1", KeyShape: "ecdsa-P-256", KeySince: start, Issuer: "ca", Directory: "https://ca.example/dir",
		Mount: "secret", Path: "tls/" + c.Name, Version: 1, Rotate: "", IssuedAt: start,
	}
	if change != nil {
		change(l)
	}
	return Secret{Version: 1, Readable: true, Owner: c.Name, Live: l}
}

// liveRecord is the record of c as certroll left it.
func liveRecord(c *spec.Certificate, s Secret) *Record {
	r := newRecord(c, nil, start)
	r.State = StateLive
	if s.Live != nil {
		r.Live, r.RenewAt = s.Live, recordedRenewal(c, s.Live, nil, start)
	}
	if !c.Renewal.Auto {
		r.Unmanaged = &Unmanaged{Since: start, Overdue: true}
	}
	return r
}

func TestPlan(t *testing.T) {
	type setup struct {
		spec    func(*spec.Certificate)
		live    func(*Live)
		secret  func(*Secret)
		pending *Pending
		hold    *Hold
		after   time.Duration // since issuance
	}
	cases := map[string]struct {
		setup
		kind   Kind
		reason Reason
		detail string // a part of it
	}{
		"fresh": {kind: KindNone, reason: ReasonUpToDate, detail: "due 2027-01-22"},
		"never written": {setup: setup{secret: func(s *Secret) { *s = Secret{} }},
			kind: KindIssue, reason: ReasonMissing, detail: "no secret at secret/tls/api"},
		"deleted": {setup: setup{secret: func(s *Secret) { s.Readable = false }},
			kind: KindIssue, reason: ReasonDeleted, detail: "version 1 of secret/tls/api was deleted"},
		"threshold": {setup: setup{after: 60 * day},
			kind: KindRenew, reason: ReasonThreshold, detail: "30 days left"},
		"just before the threshold": {setup: setup{after: 60*day - time.Second},
			kind: KindNone, reason: ReasonUpToDate},
		"expired": {setup: setup{after: 91 * day},
			kind: KindRenew, reason: ReasonExpired, detail: "it expired 2027-02-21"},
		"a six-day certificate fresh from the CA": {setup: setup{live: func(l *Live) { l.NotAfter = start.Add(160 * time.Hour) }},
			kind: KindNone, reason: ReasonUpToDate},
		"a six-day certificate in its last third": {setup: setup{live: func(l *Live) { l.NotAfter = start.Add(160 * time.Hour) }, after: 107 * time.Hour},
			kind: KindRenew, reason: ReasonThreshold, detail: "2 days left"},
		"unmanaged": {setup: setup{spec: func(c *spec.Certificate) { c.Renewal.Auto = false }, after: 89 * day},
			kind: KindNone, reason: ReasonUnmanaged, detail: "expires 2027-02-21"},
		"unmanaged and changed": {setup: setup{spec: func(c *spec.Certificate) { c.Renewal.Auto = false; c.Key.Curve = "P-384" }},
			kind: KindNone, reason: ReasonUnmanaged},
		"unmanaged but a rotation is asked for": {setup: setup{spec: func(c *spec.Certificate) { c.Renewal.Auto = false; c.Rotate = "now" }},
			kind: KindRotate, reason: ReasonRotate, detail: "now"},
		"rotation done": {setup: setup{spec: func(c *spec.Certificate) { c.Rotate = "now" }, live: func(l *Live) { l.Rotate = "now" }},
			kind: KindNone, reason: ReasonUpToDate},
		"names added": {setup: setup{live: func(l *Live) { l.NamesDigest = namesDigest([]string{"other.example.com"}) }},
			kind: KindReissue, reason: ReasonChanged, detail: "domains"},
		"curve stated": {setup: setup{spec: func(c *spec.Certificate) { c.Key.Curve = "P-384" }},
			kind: KindReissue, reason: ReasonChanged, detail: "key"},
		"default shape left out": {setup: setup{live: func(l *Live) { l.KeyShape = "rsa-4096" }},
			kind: KindNone, reason: ReasonUpToDate},
		"another CA": {setup: setup{live: func(l *Live) { l.Directory = "https://old.example/dir" }},
			kind: KindReissue, reason: ReasonChanged, detail: "issuer"},
		"another profile": {setup: setup{live: func(l *Live) { l.Profile = "shortlived" }},
			kind: KindReissue, reason: ReasonChanged, detail: "profile"},
		"not certroll's": {setup: setup{secret: func(s *Secret) { s.Live, s.Owner = nil, "" }},
			kind: KindAdopt, reason: ReasonForeign, detail: "certroll did not write it"},
		"another certificate's": {setup: setup{secret: func(s *Secret) { s.Owner = "old" }},
			kind: KindAdopt, reason: ReasonForeign, detail: `belonged to certificate "old"`},
		"overwritten": {setup: setup{secret: func(s *Secret) { s.Version = 2 }},
			kind: KindRepair, reason: ReasonDrifted, detail: "version 2 of secret/tls/api was not written by certroll"},
		"died before the metadata": {setup: setup{secret: func(s *Secret) { s.Live, s.Owner = nil, "" }, pending: &Pending{KeyDigest: "k2", Follows: 0}},
			kind: KindRepair, reason: ReasonUnfinished, detail: "while it wrote"},
		"died before the metadata of a renewal": {setup: setup{secret: func(s *Secret) { s.Version = 2 }, pending: &Pending{KeyDigest: "k2", Follows: 1}},
			kind: KindRepair, reason: ReasonUnfinished, detail: "while it wrote"},
		"died before it told": {setup: setup{pending: &Pending{KeyDigest: "k1"}},
			kind: KindRepair, reason: ReasonUnfinished, detail: "after it had written"},
		"overwritten while an attempt waits": {setup: setup{secret: func(s *Secret) { s.Version = 3 }, pending: &Pending{KeyDigest: "k2", Follows: 1}},
			kind: KindRepair, reason: ReasonDrifted},
		"a failed attempt keeps the key": {setup: setup{pending: &Pending{KeyDigest: "k1", Follows: 1}},
			kind: KindNone, reason: ReasonUpToDate},
		"died before the write": {setup: setup{pending: &Pending{KeyDigest: "k2", Follows: 1}, after: 61 * day},
			kind: KindRenew, reason: ReasonThreshold},
		"held": {setup: setup{after: 61 * day, hold: &Hold{Until: start.Add(62 * day), Class: ClassCAUnavailable, Reason: "failure 1"}},
			kind: KindHold, reason: ReasonBackoff, detail: "failure 1"},
		"held by the CA": {setup: setup{after: 61 * day, hold: &Hold{Until: start.Add(62 * day), Class: ClassRateLimited, Reason: "too many"}},
			kind: KindHold, reason: ReasonRateLimited, detail: "too many"},
		"hold over": {setup: setup{after: 62 * day, hold: &Hold{Until: start.Add(62 * day)}},
			kind: KindRenew, reason: ReasonThreshold},
		"a hold of another spec": {setup: setup{after: 61 * day, hold: &Hold{Until: start.Add(70 * day), SpecDigest: "other"}},
			kind: KindRenew, reason: ReasonThreshold},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := certificate("api", "api.example.com")
			if tc.spec != nil {
				tc.spec(c)
			}
			desired := desire(c)
			secret := liveSecret(c, tc.live)
			if tc.secret != nil {
				tc.secret(&secret)
			}
			obs := &Observed{Secrets: map[Location]Secret{targetOf(c): secret}, Pending: map[string]Pending{}, Records: map[string]*Record{}}
			if tc.pending != nil {
				obs.Pending["api"] = *tc.pending
			}
			r := liveRecord(c, secret)
			if r.Hold = tc.hold; r.Hold != nil && r.Hold.SpecDigest == "" {
				r.Hold.SpecDigest = specDigest(desired, c)
			}
			obs.Records["api"] = r
			actions := Plan(desired, obs, start.Add(tc.after))
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

// TestRecordBehind: the record follows the spec where no certificate is needed.
func TestRecordBehind(t *testing.T) {
	cases := map[string]struct {
		record func(*Record) *Record
		spec   func(*spec.Certificate)
		detail string
	}{
		"lost": {record: func(*Record) *Record { return nil }, detail: "no record of it"},
		"back": {record: func(r *Record) *Record { r.State = StateRetired; return r }, detail: "its block is back"},
		"a change reverted": {record: func(r *Record) *Record {
			r.State, r.Hold = StateFailing, &Hold{Until: start.Add(day), SpecDigest: "other"}
			return r
		}, detail: "not asked for any more"},
		"another serial": {record: func(r *Record) *Record { l := *r.Live; l.Serial = "b2"; r.Live = &l; return r }, detail: "another certificate"},
		"labels":         {spec: func(c *spec.Certificate) { c.Labels = map[string]string{"team": "edge"} }, detail: "changed labels"},
		"on_remove":      {spec: func(c *spec.Certificate) { c.OnRemove = spec.Revoke }, detail: "changed on_remove"},
		"probe":          {spec: func(c *spec.Certificate) { c.Probes = endpoints("api.example.com") }, detail: "changed probe"},
		"file":           {spec: func(c *spec.Certificate) { c.File = "other.hcl" }, detail: "the file it stands in"},
		"threshold":      {spec: func(c *spec.Certificate) { c.Renewal.ThresholdDays = 7 }, detail: "changed renewal"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := certificate("api", "api.example.com")
			secret := liveSecret(c, nil)
			r := liveRecord(c, secret)
			if tc.record != nil {
				r = tc.record(r)
			}
			if tc.spec != nil {
				tc.spec(c)
			}
			obs := &Observed{Secrets: map[Location]Secret{targetOf(c): secret}, Records: map[string]*Record{}}
			if r != nil {
				obs.Records["api"] = r
			}
			a := Plan(desire(c), obs, start)[0]
			if a.Kind != KindRepair || a.Reason != ReasonBehind || !strings.Contains(a.Detail, tc.detail) {
				t.Errorf("got %s, %s, %q; want a repair with ...%q...", a.Kind, a.Reason, a.Detail, tc.detail)
			}
		})
	}
}

// TestNinetyDays: a threshold of a third of the lifetime is not more than it,
// though the last second makes the dates differ by less.
func TestNinetyDays(t *testing.T) {
	c := certificate("api", "api.example.com")
	l := &Live{NotBefore: start, NotAfter: start.Add(90*day - time.Second)}
	if at, capped := renewAt(c, l); capped || !at.Equal(l.NotAfter.Add(-30*day)) {
		t.Errorf("due %s, capped %v", at, capped)
	}
}

func TestPlanIsTotal(t *testing.T) {
	c := certificate("api", "api.example.com")
	empty := &Observed{}
	if a := Plan(desire(c), empty, time.Time{}); len(a) != 1 || a[0].Kind != KindIssue {
		t.Errorf("with nothing observed: %+v", a)
	}
	if a := Plan(desire(), empty, time.Time{}); len(a) != 0 {
		t.Errorf("with nothing desired: %+v", a)
	}
}

func TestRetireLeavesAnHeirAlone(t *testing.T) {
	c := certificate("new", "api.example.com")
	c.Vault.Path = "tls/api"
	old := liveSecret(certificate("api", "api.example.com"), nil)
	record := &Record{Certificate: "api", State: StateLive, OnRemove: spec.Delete, Live: old.Live}
	obs := &Observed{Secrets: map[Location]Secret{{"secret", "tls/api"}: old}, Records: map[string]*Record{"api": record}}
	actions := Plan(desire(c), obs, start)
	if len(actions) != 2 || actions[0].Kind != KindRetire || !strings.Contains(actions[0].Detail, "new now claims its path") || actions[1].Kind != KindAdopt {
		t.Errorf("plan: %+v", actions)
	}
}

func TestBackoff(t *testing.T) {
	far := start.Add(60 * day)
	cases := map[string]struct {
		failures int
		class    Class
		said     time.Time
		notAfter time.Time
		least    time.Duration
		most     time.Duration
	}{
		"first":                       {1, ClassValidation, time.Time{}, far, time.Minute, 66 * time.Second},
		"second":                      {2, ClassValidation, time.Time{}, far, 10 * time.Minute, 11 * time.Minute},
		"third":                       {3, ClassValidation, time.Time{}, far, 100 * time.Minute, 110 * time.Minute},
		"fourth":                      {4, ClassValidation, time.Time{}, far, 24 * time.Hour, 27 * time.Hour},
		"hundredth":                   {100, ClassValidation, time.Time{}, far, 24 * time.Hour, 27 * time.Hour},
		"nothing live":                {4, ClassValidation, time.Time{}, time.Time{}, 24 * time.Hour, 27 * time.Hour},
		"a day before expiry":         {4, ClassValidation, time.Time{}, start.Add(24 * time.Hour), 144 * time.Minute, 160 * time.Minute},
		"a minute before expiry":      {4, ClassValidation, time.Time{}, start.Add(time.Minute), 10 * time.Minute, 11 * time.Minute},
		"after expiry":                {4, ClassValidation, time.Time{}, start.Add(-time.Hour), 10 * time.Minute, 11 * time.Minute},
		"a day after expiry":          {100, ClassValidation, time.Time{}, start.Add(-day), 144 * time.Minute, 160 * time.Minute},
		"a month after expiry":        {1000, ClassCARejected, time.Time{}, start.Add(-30 * day), 24 * time.Hour, 27 * time.Hour},
		"rate limited, with a word":   {1, ClassRateLimited, start.Add(7 * time.Hour), far, 7 * time.Hour, 7 * time.Hour},
		"rate limited, a short word":  {2, ClassRateLimited, start.Add(time.Second), far, time.Minute, 66 * time.Second},
		"rate limited, at once":       {1, ClassRateLimited, start, far, time.Minute, 66 * time.Second},
		"rate limited, in the past":   {1, ClassRateLimited, start.Add(-time.Hour), far, time.Minute, 66 * time.Second},
		"rate limited near expiry":    {1, ClassRateLimited, start.Add(20 * time.Hour), start.Add(24 * time.Hour), 20 * time.Hour, 20 * time.Hour},
		"a short word again":          {3, ClassRateLimited, start.Add(time.Second), far, 100 * time.Minute, 110 * time.Minute},
		"rate limited, nonsense":      {1, ClassRateLimited, start.Add(366 * day), far, 8 * day, 8 * day},
		"unavailable, nonsense":       {5, ClassCAUnavailable, start.Add(366 * day), far, 8 * day, 8 * day},
		"unavailable, with a word":    {1, ClassCAUnavailable, start.Add(3 * time.Hour), far, 3 * time.Hour, 3 * time.Hour},
		"unavailable, a shorter word": {2, ClassCAUnavailable, start.Add(time.Second), far, 10 * time.Minute, 11 * time.Minute},
		"unavailable near expiry":     {1, ClassCAUnavailable, start.Add(20 * time.Hour), start.Add(24 * time.Hour), 8 * time.Hour, 8 * time.Hour},
		"unavailable, at once":        {1, ClassCAUnavailable, start, far, time.Minute, 66 * time.Second},
		"CAA":                         {1, ClassCAA, time.Time{}, far, 24 * time.Hour, 27 * time.Hour},
		"paused near expiry":          {1, ClassPaused, time.Time{}, start.Add(time.Hour), 24 * time.Hour, 27 * time.Hour},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := backoff("api", tc.failures, tc.class, start, tc.said, tc.notAfter).Sub(start)
			if got < tc.least || got > tc.most {
				t.Errorf("waits %s, want %s to %s", got, tc.least, tc.most)
			}
			if again := backoff("api", tc.failures, tc.class, start, tc.said, tc.notAfter).Sub(start); again != got {
				t.Errorf("the second time it waits %s, the first time %s", again, got)
			}
		})
	}
}

// TestAMendedCauseEndsNoRateLimit: what the CA said stands all the same.
func TestAMendedCauseEndsNoRateLimit(t *testing.T) {
	said := start.Add(7 * time.Hour)
	if got := backoff("issuer.ca", 2, ClassRateLimited, time.Time{}, said, start.Add(60*day)); !got.Equal(said) {
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
			if got := shapeOf(tc.key, tc.recorded); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
