package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/doctor"
	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/reconciletest"
	"certroll/reconcile/throttle"
	"certroll/reconcile/times"
	"certroll/spec"
)

// fakeExaminer returns the findings that a test sets.
type fakeExaminer struct {
	mu          sync.Mutex
	caa         func(issuer, name string) *fakeFinding
	dns         func(account, name string) *fakeFinding
	issuer      func(issuer string) *fakeFinding
	canary      func(account, name string) error
	zone        func(name string) string // nil: lab.test
	canaries    []string
	caaCalls    int
	directories []string // issuers whose directories were examined
	flying      int
	most        int // most canaries at once
}

type fakeFinding struct{ severity, class, about, text, account string }

// discovery is a fakeFinding about one or more names.
type discovery struct {
	fakeFinding
	names []string
}

func (f *discovery) Error() string    { return f.text }
func (f *discovery) Class() string    { return f.class }
func (f *discovery) Severity() string { return f.severity }
func (f *discovery) About() string    { return f.about }
func (f *discovery) Names() []string  { return f.names }
func (f *discovery) Account() string  { return f.account }
func (f *discovery) Advice() string   { return "mend it" }

func (x *fakeExaminer) ExamineCAA(_ context.Context, issuer *spec.Issuer, _ []*spec.DNSAccount, names []string) (out []error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.caaCalls++
	for _, name := range names {
		if x.caa == nil {
			continue
		}
		if f := x.caa(issuer.Name, name); f != nil {
			out = append(out, &discovery{*f, []string{name}})
		}
	}
	return out
}

func (x *fakeExaminer) ExamineDirectory(_ context.Context, issuer *spec.Issuer) []error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.directories = append(x.directories, issuer.Name)
	if x.issuer == nil {
		return nil
	}
	if f := x.issuer(issuer.Name); f != nil {
		return []error{&discovery{fakeFinding: *f}}
	}
	return nil
}

func (x *fakeExaminer) ExamineDelegation(_ context.Context, account *spec.DNSAccount, names []string) (map[string]string, []error) {
	zones, out := map[string]string{}, []error(nil)
	for _, name := range names {
		if x.dns != nil {
			if f := x.dns(account.Name, name); f != nil {
				out = append(out, &discovery{*f, []string{name}})
				continue
			}
		}
		zones[name] = "lab.test"
		if x.zone != nil {
			zones[name] = x.zone(name)
		}
	}
	return zones, out
}

func (x *fakeExaminer) Canary(ctx context.Context, account *spec.DNSAccount, name string, _ func(string, string)) error {
	x.mu.Lock()
	x.canaries = append(x.canaries, account.Name+" "+name)
	x.flying++
	x.most = max(x.most, x.flying)
	x.mu.Unlock()
	defer func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.flying--
	}()
	if x.canary != nil {
		if err := x.canary(account.Name, name); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func unauthorized(account, name, words string) error {
	return &discovery{fakeFinding{"error", "dns_unauthorized", "dns." + account, "writing a canary: " + words, account}, []string{name}}
}

// examined returns a world with three certificates and an examiner.
func examined(t testing.TB) (*reconciletest.World, *fakeExaminer) {
	w := reconciletest.NewWorld(t, reconciletest.Certificate("api", "api.lab.test", "www.lab.test"), reconciletest.Certificate("mail", "mail.lab.test", "www.lab.test"), reconciletest.Certificate("web", "web.lab.test"))
	x := &fakeExaminer{}
	w.Opts.Examiner = x
	return w, x
}

func TestExamine(t *testing.T) {
	w, x := examined(t)
	if got := w.Examine(doctor.ExamineOptions{}); len(got.Findings) != 0 || got.Certificates != 3 || got.Canaries != 1 || got.Incomplete {
		t.Errorf("nothing is wrong, and it found %+v", got)
	}
	if x.caaCalls != 1 || !slices.Equal(x.canaries, []string{"lab api.lab.test"}) {
		t.Errorf("%d CAA examinations and the canaries %v, want one of each", x.caaCalls, x.canaries)
	}

	x.caa = func(_, name string) *fakeFinding {
		if name == "www.lab.test" || name == "web.lab.test" {
			return &fakeFinding{"error", "caa", "CAA at lab.test", "forbidden for " + name, ""}
		}
		return &fakeFinding{"info", "config", "delegation into lab.test", "it leads there", ""}
	}
	x.canary = func(account, name string) error { return unauthorized(account, name, "BADSIG") }
	got := w.Examine(doctor.ExamineOptions{})
	want := []string{
		"error caa CAA at lab.test [api mail web] [web.lab.test www.lab.test]",
		"error dns_unauthorized dns.lab [api mail web] [api.lab.test]",
		"info config delegation into lab.test [api mail] [api.lab.test mail.lab.test]",
	}
	if list := summary(got); !slices.Equal(list, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(list, "\n"), strings.Join(want, "\n"))
	}
	if got.Count(ledger.SeverityError) != 2 || got.Count(ledger.SeverityInfo) != 1 {
		t.Errorf("the counts are wrong: %+v", got)
	}

	x.canaries = nil
	if got := w.Examine(doctor.ExamineOptions{Certificates: []string{"web"}, NoCanary: true}); got.Certificates != 1 || len(got.Findings) != 1 || len(x.canaries) != 0 {
		t.Errorf("of one certificate, without canaries, it found %+v and wrote %v", got, x.canaries)
	}
	if _, err := doctor.Examine(context.Background(), w.Reconciler(), w.Desired, doctor.ExamineOptions{Certificates: []string{"gone"}}); err == nil || failure.ClassOf(err) != ledger.ClassConfig || !strings.Contains(err.Error(), `"gone"`) {
		t.Errorf("an unknown name is %v", err)
	}
}

func summary(x *doctor.Examination) (out []string) {
	for _, f := range x.Findings {
		out = append(out, fmt.Sprint(f.Severity, " ", f.Class, " ", f.About, " ", f.Certificates, " ", f.Names))
	}
	return out
}

// TestExamineWhat checks which certificates, accounts, zones and issuers are examined.
func TestExamineWhat(t *testing.T) {
	w, x := examined(t)
	paused := reconciletest.Certificate("paused", "paused.lab.test")
	paused.Renewal.Auto = false
	two := reconciletest.Certificate("two", "two.lab.test", "two.other.test")
	two.DNS = []string{"lab", "spare"}
	two.Fallbacks = []string{"second"}
	w.Desired = reconciletest.Desire(paused, two)
	w.Desired.DNS["spare"] = &spec.DNSAccount{Name: "spare", Challenge: spec.DNS01}
	w.Desired.Issuers["second"] = &spec.Issuer{Name: "second"}
	x.zone = func(name string) string { return strings.SplitN(name, ".", 2)[1] }
	x.caa = func(issuer, name string) *fakeFinding {
		return &fakeFinding{"error", "caa", "CAA at " + name + " for " + issuer, "forbidden", ""}
	}
	x.dns = func(account, name string) *fakeFinding {
		if account == "spare" && name == "two.other.test" {
			return &fakeFinding{"error", "validation", "zone of other.test", "no zone", account}
		}
		return nil
	}
	got := summary(w.Examine(doctor.ExamineOptions{}))
	want := []string{
		"error caa CAA at two.lab.test for ca [two] [two.lab.test]",
		"error caa CAA at two.other.test for ca [two] [two.other.test]",
		"error validation zone of other.test [two] [two.other.test]",
		"warning caa CAA at two.lab.test for second [two] [two.lab.test]",
		"warning caa CAA at two.other.test for second [two] [two.other.test]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	slices.Sort(x.canaries)
	if want := []string{"lab two.lab.test", "lab two.other.test", "spare two.lab.test"}; !slices.Equal(x.canaries, want) {
		t.Errorf("the canaries are %v, want %v", x.canaries, want)
	}
	if got := w.Examine(doctor.ExamineOptions{Certificates: []string{"paused"}, NoCanary: true}); len(got.Findings) != 1 {
		t.Errorf("a paused certificate that is asked for was not looked at: %+v", got)
	}
}

// TestExamineIsBounded checks that an examination runs few canaries at once and ends in
// time.
func TestExamineIsBounded(t *testing.T) {
	w, x := examined(t)
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("n%d.z%d.test", i, i))
	}
	w.Desired = reconciletest.Desire(reconciletest.Certificate("many", names...))
	x.zone = func(name string) string { return strings.SplitN(name, ".", 2)[1] }
	waiting := make(chan struct{}, 30)
	release := make(chan struct{})
	x.canary = func(string, string) error { waiting <- struct{}{}; <-release; return nil }
	go func() {
		for range doctor.ExamineAtOnce {
			<-waiting
		}
		close(release)
	}()
	if got := w.Examine(doctor.ExamineOptions{}); got.Canaries != 30 || x.most != doctor.ExamineAtOnce {
		t.Errorf("%d canaries, %d at once; want 30, %d", got.Canaries, x.most, doctor.ExamineAtOnce)
	}
	if got := w.Examine(doctor.ExamineOptions{Timeout: time.Nanosecond}); !got.Incomplete || got.Canaries != 0 {
		t.Errorf("without time it found %+v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := doctor.Examine(ctx, w.Reconciler(), w.Desired, doctor.ExamineOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted, it ended with %v", err)
	}
}

// TestDoctorTellsOnce checks that a problem has one event when it appears and one when
// it is gone, across restarts and changes of wording.
func TestDoctorTellsOnce(t *testing.T) {
	w, x := examined(t)
	expect := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, e := range w.Ledger.Events(t) {
			got = append(got, fmt.Sprint(e.Operation, " ", e.Status, " ", e.Class, " ", e.Certificate))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the ledger was told %q, want %q", what, got, want)
		}
	}
	w.Doctor()
	expect("nothing")
	if len(w.Ledger.Messages) != 0 {
		t.Errorf("nothing made the commits %q", w.Ledger.Messages)
	}

	day := 0
	next := func() { day++; w.At = w.At.Add(24 * time.Hour) }
	x.canary = func(account, name string) error {
		return unauthorized(account, name, fmt.Sprintf("BADSIG, request %d", day))
	}
	w.Doctor()
	expect("it came", "doctor failure dns_unauthorized ")
	e := w.Ledger.Events(t)[0]
	if e.DNSAccount != "lab" || e.Reason != ledger.ReasonFound || e.Revision != "c0ffee" || !strings.Contains(e.Message, "BADSIG") ||
		e.Detail != "the next renewal of api, mail, web will fail: mend it" || e.Severity != "" {
		t.Errorf("the event is %+v", e)
	}
	commits := len(w.Ledger.Messages)
	for range 30 {
		next()
		w.Doctor()
	}
	if len(w.Ledger.Messages) != commits {
		t.Errorf("while it stays there are the commits %q", w.Ledger.Messages[commits:])
	}

	next()
	x.canary = func(account, name string) error {
		return &discovery{fakeFinding{"error", "dns_unavailable", "dns." + account, "connection refused", account}, []string{name}}
	}
	w.Doctor()
	expect("hidden behind another", "doctor failure dns_unauthorized ", "doctor failure dns_unavailable ")

	next()
	x.canary = nil
	w.Doctor()
	expect("gone", "doctor failure dns_unauthorized ", "doctor failure dns_unavailable ", "doctor success dns_unauthorized ", "doctor success dns_unavailable ")
	if p, err := archive.ReadProblems(w.Ledger.Tree); err != nil || len(p.Problems) != 0 {
		t.Errorf("the open problems are %+v (%v)", p, err)
	}

	next()
	x.canary = func(account, name string) error { return unauthorized(account, name, "BADSIG") }
	w.Doctor()
	if n := len(w.Ledger.Events(t)); n != 5 {
		t.Errorf("it came again and there are %d events, want 5", n)
	}
}

// TestDoctorWhileGitIsAway checks that the journal replaces the ledger while Git is
// down.
func TestDoctorWhileGitIsAway(t *testing.T) {
	w, x := examined(t)
	w.Doctor()
	r := w.Reconciler()
	if _, err := r.Observe(context.Background(), w.Desired); err != nil {
		t.Fatal(err)
	}
	x.caa = func(_, name string) *fakeFinding {
		return &fakeFinding{"error", "caa", "CAA at " + name, "forbidden", ""}
	}
	w.Ledger.Err = errors.New("connection refused")
	for range 3 {
		if _, err := doctor.Doctor(context.Background(), r, w.Desired, ledger.Revision{}); err == nil || !strings.Contains(err.Error(), "safe in the journal") {
			t.Errorf("it ended with %v", err)
		}
		w.At = w.At.Add(24 * time.Hour)
	}
	if n := len(w.Journal.Lines); n != 4 {
		t.Errorf("the journal has %d entries, want one for each name", n)
	}
	w.Ledger.Err = nil
	w.Doctor()
	if events := w.Ledger.Events(t); len(events) != 4 {
		t.Errorf("the ledger was told %d events, want 4", len(events))
	}
	if p, err := archive.ReadProblems(w.Ledger.Tree); err != nil || len(p.Problems) != 4 {
		t.Errorf("the open problems are %+v (%v)", p, err)
	}
}

// TestDoctorHoldsNobodyUp checks that a finding of doctor does not count as a failed
// attempt.
func TestDoctorHoldsNobodyUp(t *testing.T) {
	w, x := examined(t)
	x.canary = func(account, name string) error { return unauthorized(account, name, "BADSIG") }
	w.Doctor()
	w.Settle()
	if found := throttle.Circuits(w.Ledger.Events(t)); len(found) != 0 {
		t.Errorf("the examination got %v into trouble", found)
	}
}

// TestDoctorIncomplete checks that a problem counts as gone only if it was examined
// again.
func TestDoctorIncomplete(t *testing.T) {
	known := (&ledger.Problems{}).With(ledger.Problem{Finding: ledger.Finding{Class: ledger.ClassCAA, About: "CAA at lab.test", Certificates: []string{"api"}}}, reconciletest.Start)
	for name, test := range map[string]struct {
		x    doctor.Examination
		gone int
	}{
		"looked at":      {doctor.Examination{}, 1},
		"out of time":    {doctor.Examination{Incomplete: true}, 0},
		"resolvers away": {doctor.Examination{Findings: []ledger.Finding{{Severity: ledger.SeverityWarning, Class: ledger.ClassDNSUnavailable, Certificates: []string{"api"}}}}, 0},
		"another's":      {doctor.Examination{Findings: []ledger.Finding{{Severity: ledger.SeverityWarning, Class: ledger.ClassDNSUnavailable, Certificates: []string{"web"}}}}, 1},
	} {
		if got := doctor.ProblemEntries(known, &test.x, ledger.Revision{}, reconciletest.Start.Add(time.Hour)); len(got) != test.gone {
			t.Errorf("%s: %d entries, want %d", name, len(got), test.gone)
		}
	}
}

// deafLedger accepts commits, but cannot be read.
type deafLedger struct {
	*reconciletest.MemLedger
	deaf bool
}

func (l *deafLedger) Snapshot(ctx context.Context) (fs.FS, string, error) {
	if l.deaf {
		return nil, "", reconciletest.GitError()
	}
	return l.MemLedger.Snapshot(ctx)
}

// TestProblemsOfALedgerThatCannotBeRead checks that problems are recorded once, even if
// the ledger cannot be read after the push.
func TestProblemsOfALedgerThatCannotBeRead(t *testing.T) {
	w := reconciletest.NewWorld(t)
	tree := &deafLedger{MemLedger: w.Ledger}
	r := w.Reconciler()
	r.Writer.Ledger = tree
	x := &doctor.Examination{Findings: []ledger.Finding{{Severity: ledger.SeverityError, Class: ledger.ClassCAA, About: "example.com", Certificates: []string{"api"}}}}
	for range 3 {
		w.At = w.At.Add(times.Day)
		if err := doctor.NoteProblems(t.Context(), r, ledger.Revision{}, x); err != nil {
			t.Fatal(err)
		}
		tree.deaf = len(w.Journal.Lines) > 0 // the push succeeds, and every later call fails
		if err := r.Tell(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.Ledger.Events(t)); n != 1 {
		t.Errorf("one problem is told %d times", n)
	}
}
