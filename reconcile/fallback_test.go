package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestIssuerFor(t *testing.T) {
	const after = 72 * time.Hour
	cases := map[string]struct {
		since, now time.Duration // of the first failure, and of the plan
		class      ledger.Class
		live       bool
		fallbacks  []string
		want       string
	}{
		"no failure, near expiry":                {0, 89 * times.Day, "", true, []string{"gts"}, "ca"},
		"failing, expiry far":                    {60 * times.Day, 74 * times.Day, ledger.ClassCAUnavailable, true, []string{"gts"}, "ca"},
		"failing, expiry near":                   {60 * times.Day, 75*times.Day + time.Hour, ledger.ClassCAUnavailable, true, []string{"gts"}, "gts"},
		"failing, and no other":                  {60 * times.Day, 75*times.Day + time.Hour, ledger.ClassCAUnavailable, true, nil, "ca"},
		"failing for a day, expiry near":         {80 * times.Day, 81 * times.Day, ledger.ClassCAUnavailable, true, []string{"gts"}, "ca"},
		"failing for three days, expiry near":    {80 * times.Day, 83 * times.Day, ledger.ClassCAUnavailable, true, []string{"gts"}, "gts"},
		"began to fail two days before expiry":   {88 * times.Day, 89 * times.Day, ledger.ClassCAUnavailable, true, []string{"gts"}, "gts"},
		"after the other has failed as long":     {80 * times.Day, 86 * times.Day, ledger.ClassCAUnavailable, true, []string{"gts"}, "ca"},
		"two others":                             {80 * times.Day, 86 * times.Day, ledger.ClassCAUnavailable, true, []string{"gts", "zero"}, "zero"},
		"a DNS account that refuses":             {80 * times.Day, 83 * times.Day, ledger.ClassDNSUnauthorized, true, []string{"gts"}, "ca"},
		"a Vault that is sealed":                 {80 * times.Day, 83 * times.Day, ledger.ClassVault, true, []string{"gts"}, "ca"},
		"a limit":                                {80 * times.Day, 83 * times.Day, ledger.ClassRateLimited, true, []string{"gts"}, "gts"},
		"paused":                                 {80 * times.Day, 83 * times.Day, ledger.ClassPaused, true, []string{"gts"}, "gts"},
		"CAA":                                    {80 * times.Day, 83 * times.Day, ledger.ClassCAA, true, []string{"gts"}, "gts"},
		"nothing live, for a day":                {0, times.Day, ledger.ClassCARejected, false, []string{"gts"}, "ca"},
		"nothing live, for three days":           {0, 3 * times.Day, ledger.ClassCARejected, false, []string{"gts"}, "gts"},
		"failing since a clock that was ahead":   {3650 * times.Day, 83 * times.Day, ledger.ClassCAUnavailable, true, []string{"gts"}, "ca"},
		"expired, and it failed since before it": {80 * times.Day, 95 * times.Day, ledger.ClassCAUnavailable, true, []string{"gts"}, "gts"},
		"failing since after expiry":             {95 * times.Day, 95*times.Day + time.Hour, ledger.ClassCAUnavailable, true, []string{"gts"}, "gts"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newView()
			for _, name := range []string{"gts", "zero"} {
				v.desired.Issuers[name] = &spec.Issuer{Name: name, Directory: "https://" + name + ".example/dir"}
			}
			v.c.Fallbacks, v.c.Renewal.FallbackAfter = tc.fallbacks, after
			if tc.class != "" {
				since := start.Add(tc.since)
				v.record.FailingSince, v.record.LastFailure = &since, &ledger.Failure{At: start.Add(tc.now - time.Hour), Class: tc.class, Operation: ledger.KindRenew}
			}
			if !tc.live {
				v.secret, v.record.Live = plan.Secret{}, nil
			}
			a := v.at(tc.now)
			if a.Issuer.Name != tc.want {
				t.Errorf("asked is %s, want %s", a.Issuer.Name, tc.want)
			}
			if told := strings.Contains(strings.Join(a.Warnings, "\n"), "is asked instead"); tc.live && told != (tc.want != "ca") {
				t.Errorf("warnings: %v", a.Warnings)
			}
		})
	}
}

// TestFallbackAndBack: the first CA is down for a month; the next one issues,
// which is recorded and warned of, and the renewal after it goes back.
func TestFallbackAndBack(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.Fallbacks, c.Renewal.FallbackAfter = []string{"gts"}, 72*time.Hour
	w := newWorld(t, c)
	w.desired.Issuers["gts"] = &spec.Issuer{Name: "gts", Directory: "https://gts.example/dir"}
	w.settle()
	w.ca.fail = func(op string, _ int) error {
		if op == "order ca" {
			return &caError{class: "ca_unavailable", text: "503 away"}
		}
		return nil
	}
	for w.at = start.Add(60 * times.Day); w.at.Before(start.Add(90*times.Day)) && w.ledger.record(t, "api").Live.Issuer == "ca"; w.at = w.at.Add(time.Hour) {
		if _, err := w.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r := w.ledger.record(t, "api")
	if r.Live.Issuer != "gts" || r.Live.Directory != "https://gts.example/dir" || r.State != ledger.StateLive || r.FailingSince != nil {
		t.Fatalf("at %s the record says %+v, live %+v", w.at, r, r.Live)
	}
	if left := start.Add(90 * times.Day).Sub(r.Live.IssuedAt); left < 14*times.Day || left > 15*times.Day {
		t.Errorf("the other one was asked with %s left, want the half of the thirty days", left)
	}
	if orders := w.ca.calls["order ca"] - 1; orders > 25 {
		t.Errorf("the first one was asked %d times in 15 days", orders)
	}
	a := w.only()
	expect(t, a, ledger.KindNone, ledger.ReasonUpToDate, "")
	expectWarning(t, a, "what is live came from issuer.gts, because issuer.ca failed; its next renewal goes back")
	es := w.ledger.events(t)
	if e := es[len(es)-1]; e.Issuer != "gts" || e.Status != ledger.Success {
		t.Errorf("event: %+v", e)
	}
	w.ca.fail = nil
	w.at = *r.RenewAt
	a = w.only()
	expect(t, a, ledger.KindRenew, ledger.ReasonThreshold, "what is live is from issuer.gts, this one is asked from issuer.ca")
	if a.Replaces != "" || a.Exempt != "" {
		t.Errorf("replaces %q, exempt %q across issuers", a.Replaces, a.Exempt)
	}
	w.settle()
	if l := w.ledger.record(t, "api").Live; l.Issuer != "ca" {
		t.Errorf("live: %+v", l)
	}
}

// TestFallbackOfMany: the first CA is down, and held as a whole, so that most of
// the certificates never come to try it. They are asked from the next one all
// the same, and none expires.
func TestFallbackOfMany(t *testing.T) {
	for name, tc := range map[string]struct {
		lifetime, step time.Duration
		fallbacks      []string
	}{
		"90 days":              {90 * times.Day, 2 * time.Hour, []string{"gts"}},
		"160 hours":            {160 * time.Hour, 20 * time.Minute, []string{"gts"}},
		"two that do not work": {90 * times.Day, 2 * time.Hour, []string{"zero", "gts"}},
	} {
		t.Run(name, func(t *testing.T) {
			var cs []*spec.Certificate
			for i := range 40 {
				c := certificate(fmt.Sprintf("c%02d", i), fmt.Sprintf("c%02d.example.com", i))
				c.Fallbacks, c.Renewal.FallbackAfter = tc.fallbacks, 72*time.Hour
				cs = append(cs, c)
			}
			w := newWorld(t, cs...)
			for _, name := range tc.fallbacks {
				w.desired.Issuers[name] = &spec.Issuer{Name: name, Directory: "https://" + name + ".example/dir"}
			}
			w.ca.lifetime = tc.lifetime
			w.settle()
			w.ca.fail = func(op string, _ int) error {
				if op == "order ca" || op == "order zero" {
					return &caError{class: "ca_unavailable", text: "503 away"}
				}
				return nil
			}
			for w.at = start.Add(tc.lifetime * 2 / 3); w.at.Before(start.Add(tc.lifetime)); w.at = w.at.Add(tc.step) {
				if _, err := w.apply(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range cs {
				if l := w.ledger.record(t, c.Name).Live; l.Issuer != "gts" {
					t.Errorf("%s is from issuer.%s, and expires %s", c.Name, l.Issuer, l.NotAfter)
				}
			}
		})
	}
}

// TestATurnEndsNoRateLimit: what the first CA said of when to come back stands
// when its turn comes again, though the other one has failed since.
func TestATurnEndsNoRateLimit(t *testing.T) {
	c := certificate("api", "api.example.com")
	c.Fallbacks, c.Renewal.FallbackAfter = []string{"gts"}, 2*time.Hour
	w := newWorld(t, c)
	w.desired.Issuers["gts"] = &spec.Issuer{Name: "gts", Directory: "https://gts.example/dir"}
	until := start.Add(34 * time.Hour)
	early := 0
	w.ca.fail = func(op string, _ int) error {
		switch op {
		case "order ca":
			if w.at.After(start) && w.at.Before(until) {
				early++
			}
			return &caError{class: "rate_limited", text: "429 too many certificates", at: until}
		case "order gts":
			return &caError{class: "ca_unavailable", text: "503"}
		}
		return nil
	}
	for w.at = start; w.at.Before(until.Add(6 * time.Hour)); w.at = w.at.Add(10 * time.Minute) {
		if _, err := w.apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if early > 0 || w.ca.calls["order ca"] < 2 || w.ca.calls["order gts"] < 2 {
		t.Errorf("the first one was asked %d times before its time; asked were %v", early, w.ca.calls)
	}
}
