package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"certroll/reconcile/apply"
	"certroll/reconcile/attempt"
	"certroll/reconcile/failure"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/text"
)

// accountExaminer is an Examiner that can check an issuer's ACME account at the CA.
type accountExaminer interface {
	ExamineAccount(ctx context.Context, issuer *spec.Issuer) []error
}

// directoryExaminer is an Examiner that can compare an issuer with its CA's directory.
type directoryExaminer interface {
	ExamineDirectory(ctx context.Context, issuer *spec.Issuer) []error
}

// finding is the interface of an Examiner's errors. About is the same for the same
// finding.
type finding interface {
	error
	Class() string
	Severity() string
	About() string
	Names() []string
	Account() string
	Advice() string
}

// Examination is the result of Examine.
type Examination struct {
	Certificates int              // examined
	Canaries     int              // tried
	Findings     []ledger.Finding // most severe first
	// Incomplete reports that time ran out: there may be more findings.
	Incomplete bool
}

// Count returns the number of findings with a severity.
func (x *Examination) Count(s ledger.Severity) int {
	n := 0
	for _, f := range x.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Add adds findings and sorts all, the most severe first.
func (x *Examination) Add(more []ledger.Finding) {
	x.Findings = append(x.Findings, more...)
	sortFindings(x.Findings)
}

// ExamineOptions select the checks; the zero value runs all.
type ExamineOptions struct {
	Certificates []string      // names; none: all that renew automatically
	NoCanary     bool          // write no canaries
	Timeout      time.Duration // 0: 15 minutes
}

const (
	examineTimeout = 15 * time.Minute
	// ExamineAtOnce bounds the concurrent canaries, which call DNS providers, and the
	// concurrent groups of names.
	ExamineAtOnce = 4
)

// Examine checks the prerequisites of renewals. It writes only canary records, and
// removes them again.
func Examine(ctx context.Context, r *apply.Reconciler, desired *spec.Spec, o ExamineOptions) (*Examination, error) {
	if r.Opts.Examiner == nil {
		return nil, &failure.Error{Code: ledger.ClassInternal, Err: errors.New("examining: no examiner is configured")}
	}
	certificates, err := toExamine(desired, o.Certificates, r.Opts.Now())
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithTimeout(ctx, cmp.Or(o.Timeout, examineTimeout))
	defer cancel()
	x := &examining{examiner: r.Opts.Examiner, desired: desired, certificates: certificates, progress: r.Opts.Progress, found: map[string]*ledger.Finding{}, zones: map[string]map[string]string{}}
	// Before the canaries, which need the zones that look finds.
	x.look(run)
	findChains(run, r, x)
	findUnchecked(run, r, x)
	if !o.NoCanary {
		x.canaries(run)
	}
	return x.result(run.Err() != nil), ctx.Err()
}

// toExamine returns the named certificates, or all that renew automatically.
func toExamine(desired *spec.Spec, names []string, now time.Time) ([]*spec.Certificate, error) {
	var out []*spec.Certificate
	for _, name := range names {
		c := desired.Certificate(name)
		if c == nil {
			return nil, &failure.Error{Code: ledger.ClassConfig, Err: fmt.Errorf("examining %q: the config repo declares no certificate of this name.%s", name, text.Meant(name, desired.Names()))}
		}
		out = append(out, c)
	}
	if len(names) > 0 {
		return out, nil
	}
	for _, c := range desired.Certificates {
		if plan.RenewsAt(c, now) {
			out = append(out, c)
		}
	}
	return out, nil
}

// examining is the state of one Examine.
type examining struct {
	examiner     attempt.Examiner
	desired      *spec.Spec
	certificates []*spec.Certificate
	progress     func(certificate, step, detail string)

	mu    sync.Mutex
	found map[string]*ledger.Finding   // by class and About
	zones map[string]map[string]string // zone, by account and name
	flown int
}

// group is a set of certificates that are examined together.
type group struct {
	issuer       *spec.Issuer
	fallback     bool // the issuer is only a fallback
	accounts     []string
	certificates []*spec.Certificate
}

// look runs the DNS and CA checks, grouped by issuer and accounts to save queries.
func (x *examining) look(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(ExamineAtOnce)
	for _, one := range x.byIssuer() {
		g.Go(func() error {
			accounts := make([]*spec.DNSAccount, len(one.accounts))
			for i, name := range one.accounts {
				accounts[i] = x.desired.DNS[name]
			}
			for _, err := range x.examiner.ExamineCAA(ctx, one.issuer, accounts, distinctNames(one.certificates)) {
				f := newFinding(err)
				// A failing fallback blocks no renewal while the first issuer works.
				if one.fallback && f.Severity == ledger.SeverityError {
					f.Severity = ledger.SeverityWarning
				}
				x.note(f, touched(f, one.certificates))
			}
			return nil
		})
	}
	for issuer, of := range x.issuers() {
		g.Go(func() error {
			for _, err := range x.examineIssuer(ctx, x.desired.Issuers[issuer]) {
				f := newFinding(err)
				if of.fallback && f.Severity == ledger.SeverityError {
					f.Severity = ledger.SeverityWarning
				}
				x.note(f, of.certificates)
			}
			return nil
		})
	}
	for account, certificates := range x.byAccount() {
		g.Go(func() error {
			zones, found := x.examiner.ExamineDelegation(ctx, x.desired.DNS[account], namesFor(x.desired.DNS[account], distinctNames(certificates)))
			for _, err := range found {
				f := newFinding(err)
				x.note(f, touched(f, certificates))
			}
			x.mu.Lock()
			defer x.mu.Unlock()
			x.zones[account] = zones
			return nil
		})
	}
	_ = g.Wait() // the goroutines return none
}

// examineIssuer runs the issuer checks that the Examiner implements.
func (x *examining) examineIssuer(ctx context.Context, issuer *spec.Issuer) []error {
	var found []error
	if asker, ok := x.examiner.(directoryExaminer); ok {
		found = asker.ExamineDirectory(ctx, issuer)
	}
	if asker, ok := x.examiner.(accountExaminer); ok {
		found = append(found, asker.ExamineAccount(ctx, issuer)...)
	}
	return found
}

// byIssuer groups the certificates by issuer (including fallbacks) and accounts.
func (x *examining) byIssuer() []group {
	index := map[string]int{}
	var groups []group
	for _, c := range x.certificates {
		for i, issuer := range append([]string{c.Issuer}, c.Fallbacks...) {
			key := fmt.Sprint(issuer, i > 0, c.DNS)
			at, ok := index[key]
			if !ok {
				at = len(groups)
				index[key] = at
				groups = append(groups, group{issuer: x.desired.Issuers[issuer], fallback: i > 0, accounts: c.DNS})
			}
			groups[at].certificates = append(groups[at].certificates, c)
		}
	}
	return groups
}

// issuers groups the certificates by issuer. fallback is true if no certificate has the
// issuer as its first choice.
func (x *examining) issuers() map[string]*group {
	out := map[string]*group{}
	for _, c := range x.certificates {
		for i, issuer := range append([]string{c.Issuer}, c.Fallbacks...) {
			if out[issuer] == nil {
				out[issuer] = &group{fallback: true}
			}
			out[issuer].fallback = out[issuer].fallback && i > 0
			out[issuer].certificates = append(out[issuer].certificates, c)
		}
	}
	return out
}

// byAccount groups the certificates by DNS account.
func (x *examining) byAccount() map[string][]*spec.Certificate {
	out := map[string][]*spec.Certificate{}
	for _, c := range x.certificates {
		for _, account := range c.DNS {
			out[account] = append(out[account], c)
		}
	}
	return out
}

// distinctNames returns the sorted names of certificates, each once.
func distinctNames(certificates []*spec.Certificate) []string {
	seen := map[string]bool{}
	for _, c := range certificates {
		for _, name := range c.Names() {
			seen[name] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// namesFor returns the names that an account proves. If the account lists its zones, only
// names inside them count: names that a CNAME leads there are checked by following the
// CNAME.
func namesFor(account *spec.DNSAccount, names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool {
		return !account.MayProve(n) || len(account.Zones) > 0 && !account.Contains(n)
	})
}

// canaries writes one canary per account and zone.
func (x *examining) canaries(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(ExamineAtOnce)
	byAccount := x.byAccount()
	for _, account := range slices.Sorted(maps.Keys(byAccount)) {
		for _, names := range byZone(x.zones[account]) {
			if ctx.Err() != nil {
				break
			}
			g.Go(func() error {
				x.canary(ctx, account, names, byAccount[account])
				return nil
			})
		}
	}
	_ = g.Wait() // the goroutines return none
}

// byZone groups names by zone, sorted.
func byZone(zones map[string]string) [][]string {
	by := map[string][]string{}
	for name, zone := range zones {
		by[zone] = append(by[zone], name)
	}
	var out [][]string
	for _, zone := range slices.Sorted(maps.Keys(by)) {
		out = append(out, slices.Sorted(slices.Values(by[zone])))
	}
	return out
}

// canary tests an account at the first name of a zone. A failure concerns all names of
// the zone.
func (x *examining) canary(ctx context.Context, account string, names []string, certificates []*spec.Certificate) {
	report := func(step, detail string) { x.progress("canary "+names[0], step, detail) }
	err := x.examiner.Canary(ctx, x.desired.DNS[account], names[0], report)
	if ctx.Err() != nil {
		return
	}
	x.mu.Lock()
	x.flown++
	x.mu.Unlock()
	if err != nil {
		x.note(newFinding(err), holding(certificates, names))
	}
}

// holding returns the certificates that have one of the names.
func holding(certificates []*spec.Certificate, names []string) []*spec.Certificate {
	var out []*spec.Certificate
	for _, c := range certificates {
		if slices.ContainsFunc(c.Names(), func(n string) bool { return slices.Contains(names, n) }) {
			out = append(out, c)
		}
	}
	return out
}

// touched returns the certificates that a finding concerns: those with its names, or all
// if it has none.
func touched(f ledger.Finding, certificates []*spec.Certificate) []*spec.Certificate {
	if len(f.Names) == 0 {
		return certificates
	}
	return holding(certificates, f.Names)
}

// note adds a finding, or merges it into an equal one.
func (x *examining) note(f ledger.Finding, certificates []*spec.Certificate) {
	for _, c := range certificates {
		f.Certificates = append(f.Certificates, c.Name)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	// One finding per class and subject, whichever certificates led to it.
	key := string(f.Class) + "\x00" + f.About
	same := x.found[key]
	if same == nil {
		same = &f
		x.found[key] = same
	} else if slices.Index(ledger.Severities, f.Severity) < slices.Index(ledger.Severities, same.Severity) {
		// The most severe of equal findings decides.
		same.Severity, same.Message, same.Advice = f.Severity, f.Message, f.Advice
	}
	same.Certificates = text.SortedSet(append(same.Certificates, f.Certificates...))
	same.Names = text.SortedSet(append(same.Names, f.Names...))
}

// newFinding converts an Examiner's error. An error without the methods of finding is a
// bug of certroll.
func newFinding(err error) ledger.Finding {
	var f finding
	if !errors.As(err, &f) {
		return ledger.Finding{Severity: ledger.SeverityError, Class: failure.ClassOf(err), About: "certroll", Message: failure.Message(err)}
	}
	return ledger.Finding{
		Severity: ledger.Severity(f.Severity()), Class: failure.ClassOf(f), About: f.About(), Message: failure.Message(f), Advice: f.Advice(),
		Names: f.Names(), DNSAccount: f.Account(),
	}
}

// result returns the findings so far.
func (x *examining) result(incomplete bool) *Examination {
	out := &Examination{Certificates: len(x.certificates), Canaries: x.flown, Findings: []ledger.Finding{}, Incomplete: incomplete}
	for _, f := range x.found {
		out.Findings = append(out.Findings, *f)
	}
	sortFindings(out.Findings)
	return out
}

// sortFindings sorts the most severe findings first.
func sortFindings(list []ledger.Finding) {
	slices.SortFunc(list, func(a, b ledger.Finding) int {
		return cmp.Or(slices.Index(ledger.Severities, a.Severity)-slices.Index(ledger.Severities, b.Severity), cmp.Compare(a.Class, b.Class), cmp.Compare(a.About, b.About))
	})
}
