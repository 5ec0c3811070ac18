package page

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// Input is what a page is made of: how things stand after a pass, or what the
// ledger alone says. Nobody may change it any more.
type Input struct {
	Records  []*ledger.Record
	Standing []plan.Action // the plan; nil where nobody made one
	Problems []ledger.Problem
	Tripped  []plan.Tripped // what is held as a whole
	Revision *Revision      // in force; nil where that is not known
	Newest   *NotTaken      // nil: the newest revision is in force
	Pass     *Pass          // nil: no pass has ended yet
	Ledger   string         // the ledger's commit that was read; "" where none is named
	Troubles []string       // what cannot be looked at, in the other side's words
	Settings *Settings      // nil: nothing of certroll.hcl is known
	AtWork   []Work         // the attempts under way, the longest first
}

// Settings are what run has read of certroll.hcl.
type Settings struct {
	ReadAt time.Time `json:"read_at"`
	// Notes say where certroll.hcl on disk is not what is in use, and why; never null.
	Notes []string `json:"notes"`
}

// Work is one attempt that is under way.
type Work struct {
	Certificate string      `json:"certificate"`
	Operation   ledger.Kind `json:"operation"`
	Since       time.Time   `json:"since"`
	Step        string      `json:"step"`
	Detail      string      `json:"detail"` // "" where the step says all
}

// Works are the attempts that a reconciler has under way.
func Works(list []plan.Work) []Work {
	works := make([]Work, len(list))
	for i, w := range list {
		works[i] = Work{w.Certificate, w.Operation, w.Since.UTC().Truncate(time.Second), w.Step, w.Detail}
	}
	return works
}

// At says what the attempt is at.
func (w Work) At() string {
	if w.Detail == "" {
		return w.Step
	}
	return w.Step + ": " + w.Detail
}

// Revision is a commit of the config repo.
type Revision struct {
	Commit string    `json:"commit"`
	Author string    `json:"author"`
	At     time.Time `json:"at"` // when it was taken; zero where not known
}

// NotTaken is why the newest revision is not in force.
type NotTaken struct {
	Commit  string        `json:"commit"`
	Author  string        `json:"author"`
	Reason  ledger.Reason `json:"reason"`
	Message string        `json:"message"`
}

// Pass is how the last pass of run ended.
type Pass struct {
	Ended  time.Time `json:"ended"`
	Next   time.Time `json:"next"`
	Error  string    `json:"error"`   // "" where it came to its end
	SeenAt time.Time `json:"seen_at"` // when the last one ended that could see how things stand; zero: none
}

// Page is all that can be seen at a moment.
type Page struct {
	Input
	Now          time.Time
	Number       int            // of the pass, as the server counts them
	Certificates []*Certificate // the worst first
	Teams        []string       // that there are
	Issuers      []string
	byName       map[string]*Certificate
}

// Certificate is one row. Times that are not known are null.
type Certificate struct {
	Name     string            `json:"certificate"`
	State    State             `json:"state"`
	Names    []string          `json:"names"`
	Labels   map[string]string `json:"labels"`
	Issuer   string            `json:"issuer"`
	File     string            `json:"file"`
	Serial   string            `json:"serial"`
	Vault    string            `json:"vault_path"`    // mount and path
	Version  int               `json:"vault_version"` // 0: nothing is live
	NotAfter *time.Time        `json:"not_after"`
	RenewAt  *time.Time        `json:"renew_at"` // null: it is not renewed by itself
	RenewBy  ledger.Reason     `json:"renew_by"` // what renew_at comes from, "" where it is null or a pause's end
	Window   *Window           `json:"window"`   // the CA's suggested window, where that decides
	Failures int               `json:"failures"` // in a row
	Class    ledger.Class      `json:"class"`    // of the last failure
	Message  string            `json:"message"`  // the upstream's own words
	Cause    string            `json:"cause"`    // the last clause of message, with the DNS account or the class
	WaitsFor string            `json:"waits_for"`
	Plan     *Planned          `json:"plan"`  // null: there is nothing to do
	Probe    []string          `json:"probe"` // endpoints where it is looked at what is served
	// Problems are the open ones that touch it: found by the daily examination,
	// or at an endpoint.
	Problems []ledger.Problem `json:"problems"`

	Work *Work `json:"-"` // nil: it is not at work; Page has the list

	record *ledger.Record // nil where the ledger knows nothing
	text   string         // what a search looks in
}

// Window is a span of time.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Planned is what the plan says of a certificate.
type Planned struct {
	Kind   ledger.Kind   `json:"action"`
	Reason ledger.Reason `json:"reason"`
	Detail string        `json:"detail"`
	Wants  ledger.Kind   `json:"waiting"` // of a hold: what waits
	Until  *time.Time    `json:"until"`   // of a hold: when it ends

	brief string // detail without the messages that the page shows elsewhere
}

// New makes the page of a moment.
func New(in Input, now time.Time) *Page {
	p := &Page{Input: in, Now: now, byName: make(map[string]*Certificate, len(in.Records))}
	actions := make(map[string]*plan.Action, len(in.Standing))
	for i := range in.Standing {
		actions[in.Standing[i].Certificate] = &in.Standing[i]
	}
	open := map[string][]ledger.Problem{}
	for _, one := range in.Problems {
		for _, name := range one.Certificates {
			open[name] = append(open[name], one)
		}
	}
	for _, r := range in.Records {
		p.add(newCertificate(r, actions[r.Certificate], open[r.Certificate], now))
	}
	for i := range in.Standing {
		if a := &in.Standing[i]; p.byName[a.Certificate] == nil {
			p.add(newCertificate(nil, a, open[a.Certificate], now))
		}
	}
	for i := range in.AtWork {
		if c := p.byName[in.AtWork[i].Certificate]; c != nil {
			c.Work = &in.AtWork[i]
		}
	}
	for _, c := range p.Certificates {
		c.shorten(in.Tripped)
	}
	slices.SortFunc(p.Certificates, worstFirst)
	teams, issuers := map[string]bool{}, map[string]bool{}
	for _, c := range p.Certificates {
		teams[c.Team()], issuers[c.Issuer] = true, true
	}
	p.Teams, p.Issuers = sortedSet(teams), sortedSet(issuers)
	return p
}

func (p *Page) add(c *Certificate) {
	p.Certificates = append(p.Certificates, c)
	p.byName[c.Name] = c
}

// Certificate finds one by its name; nil where there is none.
func (p *Page) Certificate(name string) *Certificate { return p.byName[name] }

// TeamLabel is the label that says whose a certificate is.
const TeamLabel = "team"

// Team is whose it is, "" where nobody said.
func (c *Certificate) Team() string { return c.Labels[TeamLabel] }

func newCertificate(r *ledger.Record, a *plan.Action, open []ledger.Problem, now time.Time) *Certificate {
	c := &Certificate{Names: []string{}, Labels: map[string]string{}, Probe: []string{}, Problems: append([]ledger.Problem{}, open...), record: r}
	c.State = stateOf(r, a, now)
	if ranks[c.State] > ranks[Unserved] && slices.ContainsFunc(open, isProbe) {
		c.State = Unserved
	}
	if a != nil {
		c.fromAction(a)
	}
	if r != nil {
		c.fromRecord(r, now)
	}
	c.text = c.searched()
	return c
}

// shorten leaves out of the plan's detail what stands beside it, or at the top.
func (c *Certificate) shorten(tripped []plan.Tripped) {
	if c.Plan == nil {
		return
	}
	c.Plan.brief = ledger.WithoutMessage(c.Plan.Detail, c.Message)
	for _, t := range tripped {
		c.Plan.brief = ledger.WithoutMessage(c.Plan.brief, t.Message)
	}
}

func isProbe(p ledger.Problem) bool { return p.Operation == ledger.KindProbe }

func (c *Certificate) fromAction(a *plan.Action) {
	c.Name = a.Certificate
	if s := a.Spec; s != nil {
		c.Names, c.Issuer, c.File, c.Vault = s.Names(), s.Issuer, s.File, s.Vault.Mount+"/"+s.Vault.Path
		if s.Labels != nil {
			c.Labels = s.Labels
		}
	}
	if a.Kind == ledger.KindNone {
		return
	}
	c.Plan = &Planned{Kind: a.Kind, Reason: a.Reason, Detail: a.Detail}
	if a.Kind == ledger.KindHold {
		c.Plan.Wants = a.Wants
		if !a.NotBefore.IsZero() && !a.Reason.WaitsForAPerson() {
			c.Plan.Until = &a.NotBefore
		}
	}
}

// fromRecord takes what the ledger says; it stands over what the plan says of
// the same.
func (c *Certificate) fromRecord(r *ledger.Record, now time.Time) {
	c.Name, c.File, c.WaitsFor, c.Failures = r.Certificate, r.File, r.WaitsFor(), r.Failures
	if c.WaitsFor == "" {
		c.WaitsFor = strings.Join(r.LeftText(), "; ")
	}
	if len(r.Names) > 0 {
		c.Names = r.Names
	}
	if r.Labels != nil {
		c.Labels = r.Labels
	}
	if r.Probe != nil {
		c.Probe = r.Probe
	}
	if l := r.Live; l != nil {
		end := l.End()
		c.Issuer, c.Serial, c.Version, c.NotAfter = l.Issuer, l.Serial, l.Version, &end
		c.Vault = l.Mount + "/" + l.Path
	}
	if f := r.LastFailure; f != nil {
		c.Class, c.Message, c.Cause = f.Class, f.Message, f.Cause()
		c.Issuer = cmp.Or(c.Issuer, f.Issuer)
	}
	if r.State == ledger.StateRetired {
		return // nobody renews it any more
	}
	c.RenewAt, c.RenewBy = r.RenewAt, r.NextBy()
	if c.RenewAt == nil && !r.Paused(now) {
		c.RenewAt = r.Unmanaged.Until // its pause is over
	}
	if c.RenewBy == ledger.ReasonWindow || c.RenewBy == ledger.ReasonRevoking {
		c.Window = &Window{Start: r.RenewalInfo.Start, End: r.RenewalInfo.End}
	}
}

// searched is the text of a certificate in which a search looks, in lower case.
func (c *Certificate) searched() string {
	parts := append([]string{c.Name, c.Issuer, c.File, c.Serial, c.Vault, string(c.Class)}, c.Names...)
	for k, v := range c.Labels {
		parts = append(parts, k+"="+v)
	}
	return strings.ToLower(strings.Join(parts, "\n"))
}

func sortedSet(set map[string]bool) []string {
	list := make([]string, 0, len(set))
	for s := range set {
		if s != "" {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return list
}
