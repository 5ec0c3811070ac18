package reconcile

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

func TestRenewalInfoIsJudged(t *testing.T) {
	l := &ledger.Live{Serial: "a1", NotBefore: start, NotAfter: start.Add(90 * times.Day)}
	at := func(d time.Duration) time.Time { return start.Add(d) }
	cases := map[string]struct {
		start, end time.Time
		refused    string        // a part of why, or
		from, to   time.Duration // when it is renewed then
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

// lateCA says of every certificate that its window is over, as a CA does whose
// renewal information is stale.
type lateCA struct{ *simCA }

func (ca lateCA) RenewalInfo(context.Context, *spec.Issuer, string) (start, end time.Time, explanation string, again time.Time, err error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.now().Add(-2 * time.Hour), ca.now().Add(-time.Hour), "", ca.now().Add(6 * time.Hour), nil
}

// TestStaleRenewalInfo: a CA that always says "now" is followed once in a tenth of the
// life of a short-lived certificate, and not into its limits.
func TestStaleRenewalInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 1, 160*time.Hour, time.Hour, crowd(1, "example.com")...)
		s.port = lateCA{s.ca}
		s.start()
		s.until(160 * time.Hour)
		s.stop()
		if n := s.ca.counts.orders; n < 5 || n > 11 || s.ca.counts.refused > 0 {
			t.Errorf("%d orders in a life, %d refused; want one for each tenth of it at most", n, s.ca.counts.refused)
		}
	})
}

// TestMomentIsChosenOnce: the same whenever it is drawn, spread over the first
// half of the window, another one for another window.
func TestMomentIsChosenOnce(t *testing.T) {
	l := &ledger.Live{Serial: "a1", NotBefore: start, NotAfter: start.Add(160 * time.Hour)}
	from, to := start.Add(78*time.Hour+24*time.Minute), start.Add(81*time.Hour+36*time.Minute)
	early, seen := 0, map[time.Time]bool{}
	for _, c := range crowd(200, "example.com") {
		first, err := plan.NewRenewalInfo(c.Name, l, from, to, "", start)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := plan.NewRenewalInfo(c.Name, l, from, to, "https://ca.example/why", start.Add(70*time.Hour))
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
		view   func(*view)
		age    time.Duration
		kind   ledger.Kind
		reason ledger.Reason
		detail string
	}{
		"before the window": {func(v *view) { v.says(50*times.Day, 52*times.Day, 0) }, 50*times.Day - time.Second, ledger.KindNone, ledger.ReasonUpToDate,
			"in the CA's suggested window, 2027-01-12T12:00:00Z to 2027-01-14T12:00:00Z"},
		"in its second half": {func(v *view) { v.says(50*times.Day, 52*times.Day, 0) }, 51*times.Day + time.Second, ledger.KindRenew, ledger.ReasonWindow, "in the CA's suggested window"},
		"after it":           {func(v *view) { v.says(50*times.Day, 52*times.Day, 0) }, 55 * times.Day, ledger.KindRenew, ledger.ReasonWindow, "in the CA's suggested window"},
		"later than the threshold that nobody stated": {func(v *view) { v.says(65*times.Day, 67*times.Day, 0) }, 64 * times.Day, ledger.KindNone, ledger.ReasonUpToDate, "in the CA's suggested window"},
		"later than a stated threshold": {func(v *view) { v.says(65*times.Day, 67*times.Day, 0); v.c.Renewal.ThresholdStated = true }, 61 * times.Day, ledger.KindRenew, ledger.ReasonThreshold,
			"30 days before it expires"},
		"earlier than a stated threshold": {func(v *view) { v.says(50*times.Day, 52*times.Day, 0); v.c.Renewal.ThresholdStated = true }, 53 * times.Day, ledger.KindRenew, ledger.ReasonWindow, "suggested window"},
		"in the past when it was asked": {func(v *view) { v.says(20*times.Day, 20*times.Day+time.Hour, 21*times.Day) }, 21 * times.Day, ledger.KindRenew, ledger.ReasonRevoking,
			"the CA wants it replaced: its suggested window ended 2026-12-13T13:00:00Z, before the CA was asked, as it does when a certificate is to be revoked"},
		"with an explanation": {func(v *view) {
			v.says(20*times.Day, 20*times.Day+time.Hour, 21*times.Day)
			v.record.RenewalInfo.Explanation = "https://ca.example/incident"
		}, 21 * times.Day, ledger.KindRenew, ledger.ReasonRevoking, "(https://ca.example/incident)"},
		"of another certificate": {func(v *view) { v.says(20*times.Day, 21*times.Day, 0); v.record.RenewalInfo.Serial = "b2" }, 30 * times.Day, ledger.KindNone, ledger.ReasonUpToDate, "30 days before it expires"},
		"paused all the same":    {func(v *view) { v.says(20*times.Day, 21*times.Day, 0); pause(v, time.Time{}, "") }, 30 * times.Day, ledger.KindNone, ledger.ReasonUnmanaged, "renewal.auto is off"},
		"of one fresh from the CA, at once": {func(v *view) { v.says(-time.Hour, 0, time.Minute) }, 23 * time.Hour, ledger.KindNone, ledger.ReasonUpToDate,
			"the CA wants it replaced"},
		"of one fresh from the CA, within a day": {func(v *view) { v.says(-time.Hour, 0, time.Minute) }, times.Day, ledger.KindRenew, ledger.ReasonRevoking, "the CA wants it replaced"},
		"though a clock was ahead when it was issued": {func(v *view) {
			v.says(50*times.Day, 52*times.Day, 0)
			v.secret.Live.IssuedAt = start.Add(3650 * times.Day)
		}, 81 * times.Day, ledger.KindRenew, ledger.ReasonWindow,
			"in the CA's suggested window"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newView()
			tc.view(v)
			expect(t, v.at(tc.age), tc.kind, tc.reason, tc.detail)
		})
	}
}

// TestReplaces: an order carries it for the same account alone, and is exempt
// inside the window alone.
func TestReplaces(t *testing.T) {
	cases := map[string]struct {
		view     func(*view)
		age      time.Duration
		replaces string
		exempt   ledger.Exemption
	}{
		"inside the window": {func(*view) {}, 51*times.Day + time.Hour, "aki.01", ledger.ExemptARI},
		"after the window":  {func(*view) {}, 53 * times.Day, "aki.01", ledger.ExemptRenewal},
		"nothing suggested": {func(v *view) { v.record.RenewalInfo = nil }, 61 * times.Day, "", ledger.ExemptRenewal},
		"a renamed block":   {func(v *view) { v.secret.Live.Issuer = "old" }, 51*times.Day + time.Hour, "aki.01", ledger.ExemptARI},
		"another account": {func(v *view) {
			team := *v.desired.Issuers["ca"]
			team.Name, team.Account = "old", "team"
			v.desired.Issuers["old"], v.secret.Live.Issuer = &team, "old"
		}, 51*times.Day + time.Hour, "", ledger.ExemptRenewal},
		"another CA":            {func(v *view) { v.secret.Live.Directory = "https://old.example/dir" }, 51*times.Day + time.Hour, "", ""},
		"other names":           {func(v *view) { v.secret.Live.NamesDigest = keypair.NamesDigest([]string{"old.example.com"}) }, 53 * times.Day, "aki.01", ""},
		"no identifier":         {func(v *view) { v.secret.Live.ARI = "" }, 53 * times.Day, "", ledger.ExemptRenewal},
		"due to be revoked":     {func(v *view) { v.says(20*times.Day, 21*times.Day, 22*times.Day) }, 22 * times.Day, "aki.01", ledger.ExemptRenewal},
		"nothing is to be done": {func(*view) {}, times.Day, "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := newView().says(50*times.Day, 52*times.Day, 0)
			v.secret.Live.ARI = "aki.01"
			tc.view(v)
			if a := v.at(tc.age); a.Replaces != tc.replaces || a.Exempt != tc.exempt {
				t.Errorf("%s %s: replaces %q, exempt %q; want %q, %q", a.Kind, a.Reason, a.Replaces, a.Exempt, tc.replaces, tc.exempt)
			}
		})
	}
}

// TestARIID is the example of RFC 9773 section 4.1.
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

// TestAskKeepsTheLastGoodAnswer: what is no window, and no answer at all, leave
// what the CA said last; where it said nothing the threshold stands.
func TestAskKeepsTheLastGoodAnswer(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	good := func(string) (from, to, again time.Time) {
		return start.Add(50 * times.Day), start.Add(52 * times.Day), w.at.Add(6 * time.Hour)
	}
	w.ca.info = good
	w.settle()
	said := w.ledger.record(t, "api").RenewalInfo
	if said == nil || !said.Start.Equal(start.Add(50*times.Day)) {
		t.Fatalf("the record of a fresh certificate has %+v", said)
	}
	r := w.reconciler()
	ask := func() {
		t.Helper()
		obs, err := r.Observe(t.Context(), w.desired)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Ask(t.Context(), w.desired, obs); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Apply(t.Context(), w.desired, ledger.Revision{}, plan.Plan(w.desired, obs, w.at)); err != nil {
			t.Fatal(err)
		}
	}
	spoiled := map[string]func(){
		"zero": func() { w.ca.info = func(string) (_, _, again time.Time) { return } },
		"reversed": func() {
			w.ca.info = func(string) (_, _, again time.Time) {
				return start.Add(52 * times.Day), start.Add(50 * times.Day), again
			}
		},
		"outage":  func() { w.ca.fail = func(string, int) error { return errors.New("404") } },
		"unknown": func() { w.ca.info = nil },
	}
	for name, spoil := range spoiled {
		w.ca.info, w.ca.fail = good, nil
		spoil()
		w.at = w.at.Add(2 * times.Day)
		ask()
		if now := w.ledger.record(t, "api").RenewalInfo; !said.Same(now) || !now.RenewAt.Equal(said.RenewAt) {
			t.Errorf("%s: the record has %+v", name, now)
		}
	}
	w.ca.fail = nil
	w.ca.info = func(string) (from, to, again time.Time) {
		return start.Add(8 * times.Day), start.Add(8*times.Day + time.Hour), w.at.Add(6 * time.Hour)
	}
	w.at = w.at.Add(2 * times.Day)
	ask()
	es := w.ledger.events(t)
	told, done := es[len(es)-2], es[len(es)-1]
	if told.Operation != ledger.KindNote || told.Reason != ledger.ReasonSuggested || !strings.Contains(told.Detail, "the CA suggests 2026-12-01T12:00:00Z to 2026-12-01T13:00:00Z, it had said 2027-01-12T12:00:00Z") {
		t.Errorf("event: %+v", told)
	}
	if done.Operation != ledger.KindRenew || done.Reason != ledger.ReasonRevoking || done.Status != ledger.Success || !strings.Contains(done.Detail, "before the CA was asked") {
		t.Errorf("event: %+v", done)
	}
}

// TestAskWaits: no certificate is asked about before the CA's own time, over a
// restart as well, and a moment from the future does not count.
func TestAskWaits(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.opts.Moments = memMoments{}
	w.ca.info = func(string) (from, to, again time.Time) {
		return start.Add(50 * times.Day), start.Add(52 * times.Day), w.at.Add(6 * time.Hour)
	}
	w.settle()
	ask := func() *apply.Reconciler {
		t.Helper()
		r := w.reconciler()
		obs, err := r.Observe(t.Context(), w.desired)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Ask(t.Context(), w.desired, obs); err != nil {
			t.Fatal(err)
		}
		if next := r.NextAsk(w.desired, obs); next.Before(w.at) || next.After(w.at.Add(6*time.Hour)) {
			t.Errorf("at %s the next question is %s", w.at, next)
		}
		return r
	}
	ask() // a new process asks once, and keeps when it may again
	n := w.ca.calls["info"]
	for range 10 {
		w.at = w.at.Add(30 * time.Minute)
		ask()
	}
	if got := w.ca.calls["info"] - n; got != 0 {
		t.Errorf("asked %d times within five hours", got)
	}
	w.at = w.at.Add(time.Hour)
	ask()
	if got := w.ca.calls["info"] - n; got != 1 {
		t.Errorf("asked %d times after six hours, want once", got)
	}
	w.at = w.at.Add(-365 * times.Day) // the clock had been ahead
	ask()
	if got := w.ca.calls["info"] - n; got != 2 {
		t.Errorf("asked %d times after the clock went back, want twice", got)
	}
}

// TestAskComesByAll: more certificates than are asked about in one go, of a CA
// that wants to be asked again soon. Each has its turn.
func TestAskComesByAll(t *testing.T) {
	cs := crowd(apply.AskAtOnce+50, "example.com")
	w := newWorld(t, cs...)
	asked := map[string]bool{}
	w.ca.info = func(id string) (from, to, again time.Time) {
		asked[id] = true
		return start.Add(50 * times.Day), start.Add(52 * times.Day), w.at.Add(time.Minute)
	}
	w.settle()
	r := w.reconciler()
	obs, err := r.Observe(t.Context(), w.desired)
	if err != nil {
		t.Fatal(err)
	}
	clear(asked)
	for range 3 {
		if err := r.Ask(t.Context(), w.desired, obs); err != nil {
			t.Fatal(err)
		}
		w.at = w.at.Add(askEvery)
	}
	if len(asked) != len(cs) {
		t.Errorf("in three minutes %d of %d were asked about", len(asked), len(cs))
	}
}

// TestAskAfterARefusal waits for as long as the CA said with it.
func TestAskAfterARefusal(t *testing.T) {
	for name, tc := range map[string]struct{ said, want time.Duration }{
		"no word":     {0, attempt.AskNoAnswer},
		"a short one": {time.Minute, attempt.AskNoAnswer},
		"a long one":  {20 * time.Hour, 20 * time.Hour},
		"nonsense":    {8000 * time.Hour, attempt.MostAsk},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, certificate("api", "api.example.com"))
			w.settle()
			w.ca.info = func(string) (_, _, again time.Time) { return }
			w.ca.fail = func(string, int) error {
				e := &caError{class: "rate_limited", text: "429"}
				if tc.said > 0 {
					e.at = w.at.Add(tc.said)
				}
				return e
			}
			r := w.reconciler()
			obs, err := r.Observe(t.Context(), w.desired)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Ask(t.Context(), w.desired, obs); err != nil {
				t.Fatal(err)
			}
			if next := r.NextAsk(w.desired, obs); next.Sub(w.at) != tc.want {
				t.Errorf("asked again after %s, want %s", next.Sub(w.at), tc.want)
			}
		})
	}
}

// TestNextAskOfOneNeverAsked: its time is now.
func TestNextAskOfOneNeverAsked(t *testing.T) {
	w := newWorld(t, certificate("api", "api.example.com"))
	w.settle()
	r := w.reconciler()
	obs, err := r.Observe(t.Context(), w.desired)
	if err != nil {
		t.Fatal(err)
	}
	if next := r.NextAsk(w.desired, obs); !next.Equal(w.at) {
		t.Errorf("next question %s, want now", next)
	}
}
