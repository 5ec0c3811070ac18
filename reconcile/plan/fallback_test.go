package plan_test

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestIssuerFor(t *testing.T) {
	const after = 72 * time.Hour
	cases := map[string]struct {
		since, now time.Duration // of the first failure and of the plan
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
			v := reconciletest.NewView()
			for _, name := range []string{"gts", "zero"} {
				v.Desired.Issuers[name] = &spec.Issuer{Name: name, Directory: "https://" + name + ".example/dir"}
			}
			v.C.Fallbacks, v.C.Renewal.FallbackAfter = tc.fallbacks, after
			if tc.class != "" {
				since := reconciletest.Start.Add(tc.since)
				v.Record.FailingSince, v.Record.LastFailure = &since, &ledger.Failure{At: reconciletest.Start.Add(tc.now - time.Hour), Class: tc.class, Operation: ledger.KindRenew}
			}
			if !tc.live {
				v.Secret, v.Record.Live = plan.Secret{}, nil
			}
			a := v.At(tc.now)
			if a.Issuer.Name != tc.want {
				t.Errorf("asked is %s, want %s", a.Issuer.Name, tc.want)
			}
			if warned := strings.Contains(strings.Join(a.Warnings, "\n"), "is asked instead"); tc.live && warned != (tc.want != "ca") {
				t.Errorf("warnings: %v", a.Warnings)
			}
		})
	}
}

// TestFallbackAndBack checks that the next CA issues while the first is down for a
// month, with a record and a warning. The following renewal returns to the first.
func TestFallbackAndBack(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Fallbacks, c.Renewal.FallbackAfter = []string{"gts"}, 72*time.Hour
	w := reconciletest.NewWorld(t, c)
	w.Desired.Issuers["gts"] = &spec.Issuer{Name: "gts", Directory: "https://gts.example/dir"}
	w.Settle()
	w.Ca.Fail = func(op string, _ int) error {
		if op == "order ca" {
			return &reconciletest.CaError{Code: "ca_unavailable", Text: "503 away"}
		}
		return nil
	}
	for w.At = reconciletest.Start.Add(60 * times.Day); w.At.Before(reconciletest.Start.Add(90*times.Day)) && w.Ledger.Record(t, "api").Live.Issuer == "ca"; w.At = w.At.Add(time.Hour) {
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r := w.Ledger.Record(t, "api")
	if r.Live.Issuer != "gts" || r.Live.Directory != "https://gts.example/dir" || r.State != ledger.StateLive || r.FailingSince != nil {
		t.Fatalf("at %s the record says %+v, live %+v", w.At, r, r.Live)
	}
	if left := reconciletest.Start.Add(90 * times.Day).Sub(r.Live.IssuedAt); left < 14*times.Day || left > 15*times.Day {
		t.Errorf("the other one was asked with %s left, want the half of the thirty days", left)
	}
	if orders := w.Ca.Calls["order ca"] - 1; orders > 25 {
		t.Errorf("the first one was asked %d times in 15 days", orders)
	}
	a := w.Only()
	reconciletest.Expect(t, a, ledger.KindNone, ledger.ReasonUpToDate, "")
	reconciletest.ExpectWarning(t, a, "what is live came from issuer.gts, because issuer.ca failed; its next renewal goes back")
	es := w.Ledger.Events(t)
	if e := es[len(es)-1]; e.Issuer != "gts" || e.Status != ledger.Success {
		t.Errorf("event: %+v", e)
	}
	w.Ca.Fail = nil
	w.At = *r.RenewAt
	a = w.Only()
	reconciletest.Expect(t, a, ledger.KindRenew, ledger.ReasonThreshold, "what is live is from issuer.gts, this one is asked from issuer.ca")
	if a.Replaces != "" || a.Exempt != "" {
		t.Errorf("replaces %q, exempt %q across issuers", a.Replaces, a.Exempt)
	}
	w.Settle()
	if l := w.Ledger.Record(t, "api").Live; l.Issuer != "ca" {
		t.Errorf("live: %+v", l)
	}
}

// TestATurnEndsNoRateLimit checks that the first CA's Retry-After still applies when
// its turn returns, although the other CA has failed since.
func TestATurnEndsNoRateLimit(t *testing.T) {
	c := reconciletest.Certificate("api", "api.example.com")
	c.Fallbacks, c.Renewal.FallbackAfter = []string{"gts"}, 2*time.Hour
	w := reconciletest.NewWorld(t, c)
	w.Desired.Issuers["gts"] = &spec.Issuer{Name: "gts", Directory: "https://gts.example/dir"}
	until := reconciletest.Start.Add(34 * time.Hour)
	early := 0
	w.Ca.Fail = func(op string, _ int) error {
		switch op {
		case "order ca":
			if w.At.After(reconciletest.Start) && w.At.Before(until) {
				early++
			}
			return &reconciletest.CaError{Code: "rate_limited", Text: "429 too many certificates", At: until}
		case "order gts":
			return &reconciletest.CaError{Code: "ca_unavailable", Text: "503"}
		}
		return nil
	}
	for w.At = reconciletest.Start; w.At.Before(until.Add(6 * time.Hour)); w.At = w.At.Add(10 * time.Minute) {
		if _, err := w.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if early > 0 || w.Ca.Calls["order ca"] < 2 || w.Ca.Calls["order gts"] < 2 {
		t.Errorf("the first one was asked %d times before its time; asked were %v", early, w.Ca.Calls)
	}
}
