package reconcile_test

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile"
	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestRenewalInfoIsJudged(t *testing.T) {
	l := &ledger.Live{Serial: "a1", NotBefore: reconciletest.Start, NotAfter: reconciletest.Start.Add(90 * times.Day)}
	at := func(d time.Duration) time.Time { return reconciletest.Start.Add(d) }
	cases := map[string]struct {
		start, end time.Time
		refused    string        // part of the reason, or
		from, to   time.Duration // when the certificate is renewed
		urgent     bool
	}{
		"a good one":                      {start: at(58 * times.Day), end: at(60 * times.Day), from: 58 * times.Day, to: 59 * times.Day},
		"zero":                            {refused: "does not end after it begins"},
		"no start":                        {end: at(60 * times.Day), refused: "does not end after it begins"},
		"no end":                          {start: at(60 * times.Day), refused: "does not end after it begins"},
		"reversed":                        {start: at(60 * times.Day), end: at(58 * times.Day), refused: "does not end after it begins"},
		"empty":                           {start: at(60 * times.Day), end: at(60 * times.Day), refused: "does not end after it begins"},
		"the beginning of time":           {start: time.Unix(1, 0), end: time.Unix(2, 0), refused: "begins before the certificate does"},
		"a day before the certificate":    {start: at(-times.Day), end: at(-times.Day + time.Hour), from: -times.Day, to: -times.Day + 30*time.Minute, urgent: true},
		"more before the certificate":     {start: at(-times.Day - time.Second), end: at(0), refused: "begins before the certificate does"},
		"after expiry":                    {start: at(90 * times.Day), end: at(91 * times.Day), refused: "begins when the certificate has expired"},
		"past, as of one that is revoked": {start: at(9 * times.Day), end: at(9*times.Day + time.Hour), from: 9 * times.Day, to: 9*times.Day + 30*time.Minute, urgent: true},
		"too late":                        {start: at(89 * times.Day), end: at(90 * times.Day), from: 81*times.Day - time.Second, to: 81 * times.Day},
		"without an end in sight":         {start: at(10 * times.Day), end: at(1e5 * times.Day), from: 10 * times.Day, to: 81 * times.Day},
		"a fraction of a second":          {start: at(58*times.Day + time.Millisecond), end: at(58*times.Day + 2*time.Millisecond), from: 58*times.Day + time.Second, to: 58*times.Day + time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			i, err := plan.NewRenewalInfo("api", l, tc.start, tc.end, "", at(10*times.Day))
			if tc.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("error %v, want ...%q...", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if i.RenewAt.Before(at(tc.from)) || i.RenewAt.After(at(tc.to)) {
				t.Errorf("renewed %s, want %s to %s", i.RenewAt, at(tc.from), at(tc.to))
			}
			if i.Urgent() != tc.urgent {
				t.Errorf("urgent: %v", i.Urgent())
			}
		})
	}
}

// lateCA is a CA with stale renewal information: every window it returns is over.
type lateCA struct{ *reconciletest.SimCA }

func (ca lateCA) RenewalInfo(context.Context, *spec.Issuer, string) (start, end time.Time, explanation string, again time.Time, err error) {
	ca.Mu.Lock()
	defer ca.Mu.Unlock()
	return ca.Now().Add(-2 * time.Hour), ca.Now().Add(-time.Hour), "", ca.Now().Add(6 * time.Hour), nil
}

// TestStaleRenewalInfo checks that a CA that always answers "renew now" gets one order
// per tenth of a short-lived certificate's lifetime, which stays within its rate
// limits.
func TestStaleRenewalInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := reconciletest.NewSim(t, 1, 160*time.Hour, time.Hour, reconciletest.Crowd(1, "example.com")...)
		s.Port = lateCA{s.Ca}
		s.Start()
		s.Until(160 * time.Hour)
		s.Stop()
		if n := s.Ca.Counts.Orders; n < 5 || n > 11 || s.Ca.Counts.Refused > 0 {
			t.Errorf("%d orders in a life, %d refused; want one for each tenth of it at most", n, s.Ca.Counts.Refused)
		}
	})
}

// TestMomentIsChosenOnce checks that the renewal time within a window is stable, spread
// over the first half of the window, and different for another window.
func TestMomentIsChosenOnce(t *testing.T) {
	l := &ledger.Live{Serial: "a1", NotBefore: reconciletest.Start, NotAfter: reconciletest.Start.Add(160 * time.Hour)}
	from, to := reconciletest.Start.Add(78*time.Hour+24*time.Minute), reconciletest.Start.Add(81*time.Hour+36*time.Minute)
	early, seen := 0, map[time.Time]bool{}
	for _, c := range reconciletest.Crowd(200, "example.com") {
		first, err := plan.NewRenewalInfo(c.Name, l, from, to, "", reconciletest.Start)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := plan.NewRenewalInfo(c.Name, l, from, to, "https://ca.example/why", reconciletest.Start.Add(70*time.Hour))
		if !first.RenewAt.Equal(again.RenewAt) {
			t.Fatalf("%s: %s, and later %s", c.Name, first.RenewAt, again.RenewAt)
		}
		if !first.Inside(first.RenewAt) || first.RenewAt.After(from.Add(to.Sub(from)/2)) {
			t.Errorf("%s: %s is not early in the window", c.Name, first.RenewAt)
		}
		if first.RenewAt.Before(from.Add(to.Sub(from) / 4)) {
			early++
		}
		seen[first.RenewAt] = true
	}
	if len(seen) < 150 || early < 60 || early > 140 {
		t.Errorf("200 certificates at %d moments, %d in the first quarter", len(seen), early)
	}
}

func TestSuggestionAndThreshold(t *testing.T) {
	cases := map[string]struct {
		view   func(*reconciletest.View)
		age    time.Duration
		kind   ledger.Kind
		reason ledger.Reason
		detail string
	}{
		"before the window": {func(v *reconciletest.View) { v.Says(50*times.Day, 52*times.Day, 0) }, 50*times.Day - time.Second, ledger.KindNone, ledger.ReasonUpToDate,
			"in the CA's suggested window, 2027-01-12T12:00:00Z to 2027-01-14T12:00:00Z"},
		"in its second half": {func(v *reconciletest.View) { v.Says(50*times.Day, 52*times.Day, 0) }, 51*times.Day + time.Second, ledger.KindRenew, ledger.ReasonWindow, "in the CA's suggested window"},
		"after it":           {func(v *reconciletest.View) { v.Says(50*times.Day, 52*times.Day, 0) }, 55 * times.Day, ledger.KindRenew, ledger.ReasonWindow, "in the CA's suggested window"},
		"later than the threshold that nobody stated": {func(v *reconciletest.View) { v.Says(65*times.Day, 67*times.Day, 0) }, 64 * times.Day, ledger.KindNone, ledger.ReasonUpToDate, "in the CA's suggested window"},
		"later than a stated threshold": {func(v *reconciletest.View) { v.Says(65*times.Day, 67*times.Day, 0); v.C.Renewal.ThresholdStated = true }, 61 * times.Day, ledger.KindRenew, ledger.ReasonThreshold,
			"30 days before it expires"},
		"earlier than a stated threshold": {func(v *reconciletest.View) { v.Says(50*times.Day, 52*times.Day, 0); v.C.Renewal.ThresholdStated = true }, 53 * times.Day, ledger.KindRenew, ledger.ReasonWindow, "suggested window"},
		"in the past when it was asked": {func(v *reconciletest.View) { v.Says(20*times.Day, 20*times.Day+time.Hour, 21*times.Day) }, 21 * times.Day, ledger.KindRenew, ledger.ReasonRevoking,
			"the CA wants it replaced: its suggested window ended 2026-12-13T13:00:00Z, before the CA was asked, as it does when a certificate is to be revoked"},
		"with an explanation": {func(v *reconciletest.View) {
			v.Says(20*times.Day, 20*times.Day+time.Hour, 21*times.Day)
			v.Record.RenewalInfo.Explanation = "https://ca.example/incident"
		}, 21 * times.Day, ledger.KindRenew, ledger.ReasonRevoking, "(https://ca.example/incident)"},
		"of another certificate": {func(v *reconciletest.View) { v.Says(20*times.Day, 21*times.Day, 0); v.Record.RenewalInfo.Serial = "b2" }, 30 * times.Day, ledger.KindNone, ledger.ReasonUpToDate, "30 days before it expires"},
		"paused all the same": {func(v *reconciletest.View) {
			v.Says(20*times.Day, 21*times.Day, 0)
			reconciletest.Pause(v, time.Time{}, "")
		}, 30 * times.Day, ledger.KindNone, ledger.ReasonUnmanaged, "renewal.auto is off"},
		"of one fresh from the CA, at once": {func(v *reconciletest.View) { v.Says(-time.Hour, 0, time.Minute) }, 23 * time.Hour, ledger.KindNone, ledger.ReasonUpToDate,
			"the CA wants it replaced"},
		"of one fresh from the CA, within a day": {func(v *reconciletest.View) { v.Says(-time.Hour, 0, time.Minute) }, times.Day, ledger.KindRenew, ledger.ReasonRevoking, "the CA wants it replaced"},
		"though a clock was ahead when it was issued": {func(v *reconciletest.View) {
			v.Says(50*times.Day, 52*times.Day, 0)
			v.Secret.Live.IssuedAt = reconciletest.Start.Add(3650 * times.Day)
		}, 81 * times.Day, ledger.KindRenew, ledger.ReasonWindow,
			"in the CA's suggested window"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := reconciletest.NewView()
			tc.view(v)
			reconciletest.Expect(t, v.At(tc.age), tc.kind, tc.reason, tc.detail)
		})
	}
}

// TestReplaces checks that an order carries replaces only for the account that issued
// the certificate, and has the ARI exemption from rate limits only inside the window.
func TestReplaces(t *testing.T) {
	cases := map[string]struct {
		view     func(*reconciletest.View)
		age      time.Duration
		replaces string
		exempt   ledger.Exemption
	}{
		"inside the window": {func(*reconciletest.View) {}, 51*times.Day + time.Hour, "aki.01", ledger.ExemptARI},
		"after the window":  {func(*reconciletest.View) {}, 53 * times.Day, "aki.01", ledger.ExemptRenewal},
		"nothing suggested": {func(v *reconciletest.View) { v.Record.RenewalInfo = nil }, 61 * times.Day, "", ledger.ExemptRenewal},
		"a renamed block":   {func(v *reconciletest.View) { v.Secret.Live.Issuer = "old" }, 51*times.Day + time.Hour, "aki.01", ledger.ExemptARI},
		"another account": {func(v *reconciletest.View) {
			team := *v.Desired.Issuers["ca"]
			team.Name, team.Account = "old", "team"
			v.Desired.Issuers["old"], v.Secret.Live.Issuer = &team, "old"
		}, 51*times.Day + time.Hour, "", ledger.ExemptRenewal},
		"another CA": {func(v *reconciletest.View) { v.Secret.Live.Directory = "https://old.example/dir" }, 51*times.Day + time.Hour, "", ""},
		"other names": {func(v *reconciletest.View) {
			v.Secret.Live.NamesDigest = keypair.NamesDigest([]string{"old.example.com"})
		}, 53 * times.Day, "aki.01", ""},
		"no identifier":         {func(v *reconciletest.View) { v.Secret.Live.ARI = "" }, 53 * times.Day, "", ledger.ExemptRenewal},
		"due to be revoked":     {func(v *reconciletest.View) { v.Says(20*times.Day, 21*times.Day, 22*times.Day) }, 22 * times.Day, "aki.01", ledger.ExemptRenewal},
		"nothing is to be done": {func(*reconciletest.View) {}, times.Day, "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := reconciletest.NewView().Says(50*times.Day, 52*times.Day, 0)
			v.Secret.Live.ARI = "aki.01"
			tc.view(v)
			if a := v.At(tc.age); a.Replaces != tc.replaces || a.Exempt != tc.exempt {
				t.Errorf("%s %s: replaces %q, exempt %q; want %q, %q", a.Kind, a.Reason, a.Replaces, a.Exempt, tc.replaces, tc.exempt)
			}
		})
	}
}

// TestARIID uses the example of RFC 9773 section 4.1.
func TestARIID(t *testing.T) {
	leaf := &x509.Certificate{
		AuthorityKeyId: []byte{0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4},
		SerialNumber:   big.NewInt(0x8765_4321),
	}
	if got, want := plan.AriID(leaf), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := plan.AriID(&x509.Certificate{SerialNumber: big.NewInt(1)}); got != "" {
		t.Errorf("without its issuer's key: %q", got)
	}
}

// TestAskKeepsTheLastGoodAnswer checks that an invalid or missing answer does not
// replace the CA's last valid one. Without a valid one, the thresholds apply.
func TestAskKeepsTheLastGoodAnswer(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	good := func(string) (from, to, again time.Time) {
		return reconciletest.Start.Add(50 * times.Day), reconciletest.Start.Add(52 * times.Day), w.At.Add(6 * time.Hour)
	}
	w.Ca.Info = good
	w.Settle()
	said := w.Ledger.Record(t, "api").RenewalInfo
	if said == nil || !said.Start.Equal(reconciletest.Start.Add(50*times.Day)) {
		t.Fatalf("the record of a fresh certificate has %+v", said)
	}
	r := w.Reconciler()
	ask := func() {
		t.Helper()
		obs, err := r.Observe(t.Context(), w.Desired)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Ask(t.Context(), w.Desired, obs); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Apply(t.Context(), w.Desired, ledger.Revision{}, plan.New(w.Desired, obs, w.At)); err != nil {
			t.Fatal(err)
		}
	}
	spoiled := map[string]func(){
		"zero": func() { w.Ca.Info = func(string) (_, _, again time.Time) { return } },
		"reversed": func() {
			w.Ca.Info = func(string) (_, _, again time.Time) {
				return reconciletest.Start.Add(52 * times.Day), reconciletest.Start.Add(50 * times.Day), again
			}
		},
		"outage":  func() { w.Ca.Fail = func(string, int) error { return errors.New("404") } },
		"unknown": func() { w.Ca.Info = nil },
	}
	for name, spoil := range spoiled {
		w.Ca.Info, w.Ca.Fail = good, nil
		spoil()
		w.At = w.At.Add(2 * times.Day)
		ask()
		if now := w.Ledger.Record(t, "api").RenewalInfo; !said.Same(now) || !now.RenewAt.Equal(said.RenewAt) {
			t.Errorf("%s: the record has %+v", name, now)
		}
	}
	w.Ca.Fail = nil
	w.Ca.Info = func(string) (from, to, again time.Time) {
		return reconciletest.Start.Add(8 * times.Day), reconciletest.Start.Add(8*times.Day + time.Hour), w.At.Add(6 * time.Hour)
	}
	w.At = w.At.Add(2 * times.Day)
	ask()
	es := w.Ledger.Events(t)
	noted, done := es[len(es)-2], es[len(es)-1]
	if noted.Operation != ledger.KindNote || noted.Reason != ledger.ReasonSuggested || !strings.Contains(noted.Detail, "the CA suggests 2026-12-01T12:00:00Z to 2026-12-01T13:00:00Z, it had said 2027-01-12T12:00:00Z") {
		t.Errorf("event: %+v", noted)
	}
	if done.Operation != ledger.KindRenew || done.Reason != ledger.ReasonRevoking || done.Status != ledger.Success || !strings.Contains(done.Detail, "before the CA was asked") {
		t.Errorf("event: %+v", done)
	}
}

// TestAskWaits checks that certroll fetches renewal information no sooner than the CA
// allows, also after a restart, and ignores a stored time that lies in the future.
func TestAskWaits(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Opts.Moments = reconciletest.MemMoments{}
	w.Ca.Info = func(string) (from, to, again time.Time) {
		return reconciletest.Start.Add(50 * times.Day), reconciletest.Start.Add(52 * times.Day), w.At.Add(6 * time.Hour)
	}
	w.Settle()
	ask := func() *apply.Reconciler {
		t.Helper()
		r := w.Reconciler()
		obs, err := r.Observe(t.Context(), w.Desired)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Ask(t.Context(), w.Desired, obs); err != nil {
			t.Fatal(err)
		}
		if next := r.NextAsk(w.Desired, obs); next.Before(w.At) || next.After(w.At.Add(6*time.Hour)) {
			t.Errorf("at %s the next question is %s", w.At, next)
		}
		return r
	}
	ask() // a new process asks once, then stores the time of its next request
	n := w.Ca.Calls["info"]
	for range 10 {
		w.At = w.At.Add(30 * time.Minute)
		ask()
	}
	if got := w.Ca.Calls["info"] - n; got != 0 {
		t.Errorf("asked %d times within five hours", got)
	}
	w.At = w.At.Add(time.Hour)
	ask()
	if got := w.Ca.Calls["info"] - n; got != 1 {
		t.Errorf("asked %d times after six hours, want once", got)
	}
	w.At = w.At.Add(-365 * times.Day) // the clock had run ahead
	ask()
	if got := w.Ca.Calls["info"] - n; got != 2 {
		t.Errorf("asked %d times after the clock went back, want twice", got)
	}
}

// TestAskComesByAll checks that each certificate gets its turn when a CA with short
// intervals has more certificates than one round covers.
func TestAskComesByAll(t *testing.T) {
	cs := reconciletest.Crowd(apply.AskAtOnce+50, "example.com")
	w := reconciletest.NewWorld(t, cs...)
	asked := map[string]bool{}
	w.Ca.Info = func(id string) (from, to, again time.Time) {
		asked[id] = true
		return reconciletest.Start.Add(50 * times.Day), reconciletest.Start.Add(52 * times.Day), w.At.Add(time.Minute)
	}
	w.Settle()
	r := w.Reconciler()
	obs, err := r.Observe(t.Context(), w.Desired)
	if err != nil {
		t.Fatal(err)
	}
	clear(asked)
	for range 3 {
		if err := r.Ask(t.Context(), w.Desired, obs); err != nil {
			t.Fatal(err)
		}
		w.At = w.At.Add(reconcile.AskEvery)
	}
	if len(asked) != len(cs) {
		t.Errorf("in three minutes %d of %d were asked about", len(asked), len(cs))
	}
}

// TestAskAfterARefusal checks that certroll waits for the Retry-After of an error.
func TestAskAfterARefusal(t *testing.T) {
	for name, tc := range map[string]struct{ said, want time.Duration }{
		"no word":     {0, attempt.AskNoAnswer},
		"a short one": {time.Minute, attempt.AskNoAnswer},
		"a long one":  {20 * time.Hour, 20 * time.Hour},
		"nonsense":    {8000 * time.Hour, attempt.MostAsk},
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
			w.Settle()
			w.Ca.Info = func(string) (_, _, again time.Time) { return }
			w.Ca.Fail = func(string, int) error {
				e := &reconciletest.CaError{Code: "rate_limited", Text: "429"}
				if tc.said > 0 {
					e.At = w.At.Add(tc.said)
				}
				return e
			}
			r := w.Reconciler()
			obs, err := r.Observe(t.Context(), w.Desired)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Ask(t.Context(), w.Desired, obs); err != nil {
				t.Fatal(err)
			}
			if next := r.NextAsk(w.Desired, obs); next.Sub(w.At) != tc.want {
				t.Errorf("asked again after %s, want %s", next.Sub(w.At), tc.want)
			}
		})
	}
}

// TestNextAskOfOneNeverAsked checks that a certificate without renewal information is
// due for a fetch now.
func TestNextAskOfOneNeverAsked(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.example.com"))
	w.Settle()
	r := w.Reconciler()
	obs, err := r.Observe(t.Context(), w.Desired)
	if err != nil {
		t.Fatal(err)
	}
	if next := r.NextAsk(w.Desired, obs); !next.Equal(w.At) {
		t.Errorf("next question %s, want now", next)
	}
}
