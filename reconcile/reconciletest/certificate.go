package reconciletest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/times"
	"certroll/spec"
	"certroll/spec/decode"
)

// FieldsLike decodes a map of fields that spec.Validate accepts.
func FieldsLike(t testing.TB, fields string) spec.Fields {
	t.Helper()
	desired, diags := decode.Files(context.Background(), []spec.File{{Path: "a.hcl", Bytes: fmt.Appendf(nil, `
issuer "ca" {
  directory               = "letsencrypt"
  terms_of_service_agreed = true
}
dns "lab" {
  provider    = "cloudflare"
  credentials = { CLOUDFLARE_DNS_API_TOKEN = env("CERTROLL_DNS_TOKEN") }
}
certificate "api" {
  domains = ["api.example.com"]
  issuer  = issuer.ca
  dns     = dns.lab
  vault { fields = %s }
}`, fields)}}, spec.Trust{Known: true})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return desired.Certificates[0].Vault.Fields
}

// Endpoints are probes of hosts at port 443.
func Endpoints(hosts ...string) []spec.Probe {
	var list []spec.Probe
	for _, host := range hosts {
		list = append(list, spec.Probe{Protocol: spec.PlainTLS, Host: host, Port: 443, ServerName: host})
	}
	return list
}

// Pause turns renewal off, in the spec and in the record.
func Pause(v *View, until time.Time, reason string) {
	v.C.Renewal.Auto, v.C.Renewal.Until, v.C.Renewal.Reason = false, until, reason
	v.Record.Unmanaged = &ledger.Unmanaged{Since: Start, Until: times.Optional(until), Reason: reason, Overdue: true}
}

// LiveSecret returns the secret of c as certroll wrote it, issued at Start for 90 days.
func LiveSecret(c *spec.Certificate, change func(*ledger.Live)) plan.Secret {
	l := &ledger.Live{
		Serial: "a1", NotBefore: Start, NotAfter: Start.Add(90 * times.Day), Names: c.Names(), NamesDigest: keypair.NamesDigest(c.Names()),
		KeyDigest: "k1", KeyShape: "ecdsa-P-256", KeySince: Start, Issuer: "ca", Directory: "https://ca.example/dir",
		Mount: "secret", Path: "tls/" + c.Name, Version: 1, Rotate: "", IssuedAt: Start,
	}
	if change != nil {
		change(l)
	}
	return plan.Secret{Version: 1, Readable: true, Owner: c.Name, Live: l}
}

// LiveRecord returns the record of c as certroll wrote it.
func LiveRecord(c *spec.Certificate, s plan.Secret) *ledger.Record {
	r := ledger.NewRecord(c, nil, Start)
	r.State = ledger.StateLive
	if s.Live != nil {
		r.Live, r.RenewAt = s.Live, plan.RecordedRenewal(c, s.Live, nil, Start)
	}
	if !c.Renewal.Auto {
		r.Unmanaged = &ledger.Unmanaged{Since: Start, Overdue: true}
	}
	return r
}

// InFile puts a certificate into its own file, as in a config repo.
func InFile(file string, c *spec.Certificate) *spec.Certificate {
	c.File, c.Range = file, hcl.Range{Filename: file, Start: hcl.Pos{Line: 3, Column: 1}}
	return c
}

// SeenLive returns the observed state of certificates that are as certroll wrote them.
func SeenLive(certificates ...*spec.Certificate) *plan.Observed {
	obs := &plan.Observed{Secrets: map[ledger.Location]plan.Secret{}, Records: map[string]*ledger.Record{}}
	for _, c := range certificates {
		s := LiveSecret(c, nil)
		obs.Secrets[plan.TargetOf(c)], obs.Records[c.Name] = s, LiveRecord(c, s)
	}
	return obs
}

// Certificates makes certificates name.example.com.
func Certificates(names ...string) func() []*spec.Certificate {
	return func() []*spec.Certificate {
		var list []*spec.Certificate
		for _, n := range names {
			list = append(list, InFile("certs/"+n+".hcl", Certificate(n, n+".example.com")))
		}
		return list
	}
}

// Changed makes certificates and applies how to the named one.
func Changed(name string, how func(*spec.Certificate)) func() []*spec.Certificate {
	return func() []*spec.Certificate {
		list := Certificates(name)()
		how(list[0])
		return list
	}
}

// Compromised requests a rotation that revokes.
func Compromised(c *spec.Certificate) {
	c.Rotate, c.RotateRevoke = "2026-11-23 the key leaked", &spec.Revocation{Code: 1}
}

// Published gives the view a next key that was published at an age.
func (v *View) Published(digest, shape string, at time.Duration) {
	since := Start.Add(at)
	v.C.Key.Next = true
	v.Obs.Staged = map[string]plan.Staged{"api": {KeyDigest: digest, KeyShape: shape}}
	v.Secret.Live.NextKeyDigest, v.Secret.Live.NextKeyShape, v.Secret.Live.NextKeySince = digest, shape, &since
}

// Recorded makes the record match Vault.
func (v *View) Recorded() { live := *v.Secret.Live; v.Record.Live = &live }

// View is one certificate, "api", as Plan sees it: live since Start for 90 days, with an
// up-to-date record. Tests change it as needed.
type View struct {
	C       *spec.Certificate
	Desired *spec.Spec
	Secret  plan.Secret
	Record  *ledger.Record
	Obs     *plan.Observed
}

// NewView returns a certificate for which nothing is due.
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

// Says sets the renewal window that the CA suggested, and the age of the query.
func (v *View) Says(from, to, asked time.Duration) *View {
	i, err := plan.NewRenewalInfo("api", v.Secret.Live, Start.Add(from), Start.Add(to), "", Start.Add(asked))
	if err != nil {
		panic(err)
	}
	v.Record.RenewalInfo = i
	return v
}

// At returns the action at an age of the certificate. The record is as a reconciler
// without interruptions left it.
func (v *View) At(age time.Duration) plan.Action {
	v.Obs.Secrets[plan.TargetOf(v.C)] = v.Secret
	if v.Record != nil {
		v.Obs.Records["api"] = v.Record
		if v.Record.State == ledger.StateLive && v.Secret.Live != nil {
			v.Record.RenewAt = plan.RecordedRenewal(v.C, v.Secret.Live, v.Record.RenewalInfo, Start.Add(age))
		}
	}
	return plan.New(v.Desired, v.Obs, Start.Add(age)).Actions[0]
}

// Expect compares kind, reason and a part of the message.
func Expect(t *testing.T, a plan.Action, kind ledger.Kind, reason ledger.Reason, detail string) {
	t.Helper()
	if a.Kind != kind || a.Reason != reason || !strings.Contains(a.Detail, detail) {
		t.Errorf("got %s, %s, %q; want %s, %s, ...%q...", a.Kind, a.Reason, a.Detail, kind, reason, detail)
	}
}

// ExpectWarning requires a warning with that part; "" requires none.
func ExpectWarning(t *testing.T, a plan.Action, part string) {
	t.Helper()
	all := strings.Join(a.Warnings, "\n")
	if part == "" && all != "" || !strings.Contains(all, part) {
		t.Errorf("warnings %q, want %q", all, part)
	}
}

// Crowd returns n certificates of one registered domain, in the order of their names.
func Crowd(n int, domain string) []*spec.Certificate {
	var cs []*spec.Certificate
	for i := range n {
		name := "c" + string([]rune{rune('a' + i/26/26), rune('a' + i/26%26), rune('a' + i%26)})
		cs = append(cs, Certificate(name, name+"."+domain))
	}
	return cs
}

// LetsEncrypt returns the limits of Let's Encrypt's production environment.
func LetsEncrypt() *spec.Limits {
	return &spec.Limits{
		Orders: spec.Limit{Burst: 300, Window: 3 * time.Hour}, PerDomain: spec.Limit{Burst: 50, Window: 7 * times.Day},
		ExactSet: spec.Limit{Burst: 5, Window: 7 * times.Day}, FailedValidations: spec.Limit{Burst: 5, Window: time.Hour}, ConsecutiveFailures: 1152,
	}
}

// Count returns the number of actions of a kind.
func Count(actions []plan.Action, kind ledger.Kind) int {
	n := 0
	for _, a := range actions {
		if a.Kind == kind {
			n++
		}
	}
	return n
}
