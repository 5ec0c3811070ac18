package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/doctor"
	"certroll/reconcile/ledger"
	"certroll/reconcile/observe"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/times"
	"certroll/spec"
)

// TestDirectoryIsExaminedOncePerIssuer checks that an issuer's problem is one finding
// that names all its certificates, and a warning for an issuer that is only a fallback.
func TestDirectoryIsExaminedOncePerIssuer(t *testing.T) {
	w, x := examined(t)
	w.Desired.Issuers["spare"] = &spec.Issuer{Name: "spare", Directory: "https://spare.example/dir"}
	w.Desired.Certificates[0].Fallbacks = []string{"spare"}
	x.issuer = func(issuer string) *fakeFinding {
		return &fakeFinding{"error", "config", "profile of issuer." + issuer, "the CA does not offer it", ""}
	}
	want := []string{
		"error config profile of issuer.ca [api mail web] []",
		"warning config profile of issuer.spare [api] []",
	}
	if got := summary(w.Examine(doctor.ExamineOptions{})); !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if slices.Sort(x.directories); !slices.Equal(x.directories, []string{"ca", "spare"}) {
		t.Errorf("directories of %v were looked at", x.directories)
	}
}

// TestChainsOffered checks that doctor reports a preferred chain that the CA did not
// offer at the last issue, unless the setting has changed since.
func TestChainsOffered(t *testing.T) {
	const about = "warning config preferred_chain of issuer.ca [api web] []"
	note := func(chain string) string {
		return `the CA offers no chain up to "` + chain + `", taking its default chain; it offers "Root"`
	}
	for name, c := range map[string]struct {
		first, second string // chain notes of the issues of api and, a minute later, web
		change        func(*spec.Issuer)
		want          []string
	}{
		"offered":               {},
		"not offered":           {first: note("Old Root"), second: note("Old Root"), want: []string{about}},
		"no longer offered":     {second: note("Old Root"), want: []string{about}},
		"offered by now":        {first: note("Old Root")},
		"another one is wanted": {first: note("Old Root"), second: note("Old Root"), change: func(i *spec.Issuer) { i.PreferredChain = "Root" }},
		"none is wanted":        {first: note("Old Root"), second: note("Old Root"), change: func(i *spec.Issuer) { i.PreferredChain = "" }},
		"another CA":            {first: note("Old Root"), second: note("Old Root"), change: func(i *spec.Issuer) { i.Directory = "https://other.example/dir" }},
		"another note":          {second: "the chain ends first; taking the chain up to another"},
	} {
		t.Run(name, func(t *testing.T) {
			w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.lab.test"))
			w.Opts.Examiner = &fakeExaminer{}
			w.Desired.Issuers["ca"].PreferredChain = "Old Root"
			w.Ca.ChainNote = c.first
			w.Settle()
			w.At = w.At.Add(60e9)
			w.Desired.Certificates = append(w.Desired.Certificates, reconciletest.Certificate("web", "web.lab.test"))
			w.Ca.ChainNote = c.second
			w.Settle()
			if c.change != nil {
				c.change(w.Desired.Issuers["ca"])
			}
			x := w.Examine(doctor.ExamineOptions{})
			if got := summary(x); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
			if len(x.Findings) > 0 && !strings.Contains(x.Findings[0].Message, c.second) {
				t.Errorf("it says %s", x.Findings[0].Message)
			}
		})
	}
}

// TestPreferredChainChange checks that a changed preferred_chain triggers no order; the
// next renewal or rotation uses it.
func TestPreferredChainChange(t *testing.T) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.lab.test"), reconciletest.Certificate("web", "web.lab.test"))
	w.Settle()
	w.Desired.Issuers["ca"].PreferredChain = "New Root"
	for _, a := range w.Plan() {
		if a.Kind != ledger.KindNone {
			t.Errorf("%s: %s, %s", a.Certificate, a.Kind, a.Reason)
		}
	}
	w.Desired.Certificate("web").Rotate = "2027-01-01 for the new root"
	w.Settle()
	w.At = w.At.Add(61 * times.Day)
	w.Settle()
	// Two first issues, the rotation of web, then both renewals.
	if want := []string{"", "", "New Root", "New Root", "New Root"}; !slices.Equal(w.Ca.Chains, want) {
		t.Errorf("chains that were asked for: %q, want %q", w.Ca.Chains, want)
	}
}

// TestDoctorWithoutLedger checks that plan --check-dns works without a ledger, also for
// issuers whose chains and CRLs only the records could judge.
func TestDoctorWithoutLedger(t *testing.T) {
	w, x := examined(t)
	w.Desired.Issuers["ca"].PreferredChain = "Old Root"
	r := apply.New(&observe.Observer{}, nil, nil, nil, nil, attempt.Options{Examiner: x, CRLs: &reconciletest.MemCRLs{}})
	found, err := doctor.Examine(t.Context(), r, w.Desired, doctor.ExamineOptions{NoCanary: true})
	if err != nil || len(found.Findings) > 0 || found.Certificates == 0 {
		t.Errorf("found %+v (%v)", found, err)
	}
}
