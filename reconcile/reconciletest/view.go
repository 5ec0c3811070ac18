package reconciletest

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// View is one certificate, "api", as Plan sees it: live since start for 90
// days, its record up to date. Tests change what they are about.
type View struct {
	C       *spec.Certificate
	Desired *spec.Spec
	Secret  plan.Secret
	Record  *ledger.Record
	Obs     *plan.Observed
}

func NewView() *View {
	v := &View{C: Certificate("api", "api.example.com")}
	v.Desired, v.Secret = Desire(v.C), LiveSecret(v.C, nil)
	v.Record = LiveRecord(v.C, v.Secret)
	v.Obs = &plan.Observed{Secrets: map[ledger.Location]plan.Secret{}, Pending: map[string]plan.Pending{}, Records: map[string]*ledger.Record{}}
	return v
}

// Lives sets how long the certificate lives.
func (v *View) Lives(d time.Duration) *View {
	v.Secret.Live.NotAfter = Start.Add(d)
	return v
}

// Says sets what the CA suggested when it was asked at that age.
func (v *View) Says(from, to, asked time.Duration) *View {
	i, err := plan.NewRenewalInfo("api", v.Secret.Live, Start.Add(from), Start.Add(to), "", Start.Add(asked))
	if err != nil {
		panic(err)
	}
	v.Record.RenewalInfo = i
	return v
}

// At is the action at an age of the certificate. The record is as a
// reconciler that was there all the time left it.
func (v *View) At(age time.Duration) plan.Action {
	v.Obs.Secrets[plan.TargetOf(v.C)] = v.Secret
	if v.Record != nil {
		v.Obs.Records["api"] = v.Record
		if v.Record.State == ledger.StateLive && v.Secret.Live != nil {
			v.Record.RenewAt = plan.RecordedRenewal(v.C, v.Secret.Live, v.Record.RenewalInfo, Start.Add(age))
		}
	}
	return plan.Plan(v.Desired, v.Obs, Start.Add(age))[0]
}

// Expect compares kind, reason and a part of the message.
func Expect(t *testing.T, a plan.Action, kind ledger.Kind, reason ledger.Reason, detail string) {
	t.Helper()
	if a.Kind != kind || a.Reason != reason || !strings.Contains(a.Detail, detail) {
		t.Errorf("got %s, %s, %q; want %s, %s, ...%q...", a.Kind, a.Reason, a.Detail, kind, reason, detail)
	}
}

// ExpectWarning demands a warning with that part; "" that there is none.
func ExpectWarning(t *testing.T, a plan.Action, part string) {
	t.Helper()
	all := strings.Join(a.Warnings, "\n")
	if part == "" && all != "" || !strings.Contains(all, part) {
		t.Errorf("warnings %q, want %q", all, part)
	}
}

// Crowd are n certificates of one registered domain, in the order of names.
func Crowd(n int, domain string) []*spec.Certificate {
	var cs []*spec.Certificate
	for i := range n {
		name := "c" + string([]rune{rune('a' + i/26/26), rune('a' + i/26%26), rune('a' + i%26)})
		cs = append(cs, Certificate(name, name+"."+domain))
	}
	return cs
}

// LetsEncrypt are the limits of its production environment.
func LetsEncrypt() *spec.Limits {
	return &spec.Limits{
		Orders: spec.Limit{Burst: 300, Window: 3 * time.Hour}, PerDomain: spec.Limit{Burst: 50, Window: 7 * times.Day},
		ExactSet: spec.Limit{Burst: 5, Window: 7 * times.Day}, FailedValidations: spec.Limit{Burst: 5, Window: time.Hour}, ConsecutiveFailures: 1152,
	}
}

func Count(actions []plan.Action, kind ledger.Kind) int {
	n := 0
	for _, a := range actions {
		if a.Kind == kind {
			n++
		}
	}
	return n
}
