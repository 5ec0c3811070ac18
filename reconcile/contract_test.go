package reconcile

import (
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
)

// view is one certificate, "api", as Plan sees it: live since start for 90
// days, its record up to date. Tests change what they are about.
type view struct {
	c       *spec.Certificate
	desired *spec.Spec
	secret  plan.Secret
	record  *ledger.Record
	obs     *plan.Observed
}

func newView() *view {
	v := &view{c: certificate("api", "api.example.com")}
	v.desired, v.secret = desire(v.c), liveSecret(v.c, nil)
	v.record = liveRecord(v.c, v.secret)
	v.obs = &plan.Observed{Secrets: map[ledger.Location]plan.Secret{}, Pending: map[string]plan.Pending{}, Records: map[string]*ledger.Record{}}
	return v
}

// lives sets how long the certificate lives.
func (v *view) lives(d time.Duration) *view {
	v.secret.Live.NotAfter = start.Add(d)
	return v
}

// says sets what the CA suggested when it was asked at that age.
func (v *view) says(from, to, asked time.Duration) *view {
	i, err := plan.NewRenewalInfo("api", v.secret.Live, start.Add(from), start.Add(to), "", start.Add(asked))
	if err != nil {
		panic(err)
	}
	v.record.RenewalInfo = i
	return v
}

// at is the action at an age of the certificate. The record is as a
// reconciler that was there all the time left it.
func (v *view) at(age time.Duration) plan.Action {
	v.obs.Secrets[plan.TargetOf(v.c)] = v.secret
	if v.record != nil {
		v.obs.Records["api"] = v.record
		if v.record.State == ledger.StateLive && v.secret.Live != nil {
			v.record.RenewAt = plan.RecordedRenewal(v.c, v.secret.Live, v.record.RenewalInfo, start.Add(age))
		}
	}
	return plan.Plan(v.desired, v.obs, start.Add(age))[0]
}

// expect compares kind, reason and a part of the message.
func expect(t *testing.T, a plan.Action, kind ledger.Kind, reason ledger.Reason, detail string) {
	t.Helper()
	if a.Kind != kind || a.Reason != reason || !strings.Contains(a.Detail, detail) {
		t.Errorf("got %s, %s, %q; want %s, %s, ...%q...", a.Kind, a.Reason, a.Detail, kind, reason, detail)
	}
}

// expectWarning demands a warning with that part; "" that there is none.
func expectWarning(t *testing.T, a plan.Action, part string) {
	t.Helper()
	all := strings.Join(a.Warnings, "\n")
	if part == "" && all != "" || !strings.Contains(all, part) {
		t.Errorf("warnings %q, want %q", all, part)
	}
}

// crowd are n certificates of one registered domain, in the order of names.
func crowd(n int, domain string) []*spec.Certificate {
	var cs []*spec.Certificate
	for i := range n {
		name := "c" + string([]rune{rune('a' + i/26/26), rune('a' + i/26%26), rune('a' + i%26)})
		cs = append(cs, certificate(name, name+"."+domain))
	}
	return cs
}

// letsEncrypt are the limits of its production environment.
func letsEncrypt() *spec.Limits {
	return &spec.Limits{
		Orders: spec.Limit{Burst: 300, Window: 3 * time.Hour}, PerDomain: spec.Limit{Burst: 50, Window: 7 * times.Day},
		ExactSet: spec.Limit{Burst: 5, Window: 7 * times.Day}, FailedValidations: spec.Limit{Burst: 5, Window: time.Hour}, ConsecutiveFailures: 1152,
	}
}

func count(actions []plan.Action, kind ledger.Kind) int {
	n := 0
	for _, a := range actions {
		if a.Kind == kind {
			n++
		}
	}
	return n
}

// The paths of vault kv get and of the API begin with what vault.path does not.
func TestPathWithItsMount(t *testing.T) {
	for path, warning := range map[string]string{
		"tls/api":        "",
		"secrets/api":    "",
		"secret/tls/api": "the secret is secret/secret/tls/api",
		"data/tls/api":   "the secret is secret/data/tls/api",
	} {
		v := newView()
		v.secret, v.record, v.c.Vault.Path = plan.Secret{}, nil, path
		expectWarning(t, v.at(0), warning)
	}
}
