package page

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
)

// Input is the content of a page: the state after a pass, or the ledger's alone. It must
// not change after New.
type Input struct {
	Records  []*ledger.Record
	Actions  []plan.Action // the plan; nil without one
	Problems []ledger.Problem
	Tripped  []plan.Tripped // issuers and DNS accounts held by a breaker
	Revision *Revision      // in force; nil if unknown
	Newest   *NotTaken      // nil: the newest revision is in force
	Pass     *Pass          // nil: no pass has ended yet
	Ledger   string         // the ledger's commit that was read; "" if unknown
	Faults   []string       // unavailable systems, in their own words
	Settings *Settings      // nil: certroll.hcl is unknown
	AtWork   []Work         // the attempts in progress, longest first
}

// Settings is the state of certroll.hcl in certroll run.
type Settings struct {
	ReadAt time.Time `json:"read_at"`
	// Notes are differences between certroll.hcl on disk and the settings in use, and
	// why; never null.
	Notes []string `json:"notes"`
}

// Work is one attempt in progress.
type Work struct {
	Certificate string      `json:"certificate"`
	Operation   ledger.Kind `json:"operation"`
	Since       time.Time   `json:"since"`
	Step        string      `json:"step"`
	Detail      string      `json:"detail"` // "" if the step says everything
}

// Works converts a reconciler's attempts in progress.
func Works(list []plan.Work) []Work {
	works := make([]Work, len(list))
	for i, w := range list {
		works[i] = Work{w.Certificate, w.Operation, w.Since.UTC().Truncate(time.Second), w.Step, w.Detail}
	}
	return works
}

// At describes the present step.
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
	At     time.Time `json:"at"` // when it came into force; zero if unknown
}

// NotTaken explains why the newest revision is not in force.
type NotTaken struct {
	Commit  string        `json:"commit"`
	Author  string        `json:"author"`
	Reason  ledger.Reason `json:"reason"`
	Message string        `json:"message"`
}

// Pass is the result of the last pass.
type Pass struct {
	Ended  time.Time `json:"ended"`
	Next   time.Time `json:"next"`
	Error  string    `json:"error"`   // "" on success
	SeenAt time.Time `json:"seen_at"` // end of the last pass that read Vault and the ledger; zero: none
}

// Page is the whole content at one time.
type Page struct {
	Input
	Now          time.Time
	Number       int            // of the pass, by the server's count
	Certificates []*Certificate // worst first
	Teams        []string       // that occur
	Issuers      []string
	byName       map[string]*Certificate
}

// Certificate is one row. Unknown times are null.
type Certificate struct {
	Name     string            `json:"certificate"`
	State    ledger.State      `json:"state"`
	Names    []string          `json:"names"`
	Labels   map[string]string `json:"labels"`
	Issuer   string            `json:"issuer"`
	File     string            `json:"file"`
	Serial   string            `json:"serial"`
	Vault    string            `json:"vault_path"`    // mount and path
	Version  int               `json:"vault_version"` // 0: no live certificate
	NotAfter *time.Time        `json:"not_after"`
	RenewAt  *time.Time        `json:"renew_at"` // null: no automatic renewal
	RenewBy  ledger.Reason     `json:"renew_by"` // the origin of renew_at; "" if it is null or a pause's end
	Window   *Window           `json:"window"`   // the CA's suggested window, if it sets renew_at
	Failures int               `json:"failures"` // in a row
	Class    ledger.Class      `json:"class"`    // of the last failure
	Message  string            `json:"message"`  // the upstream's words
	Cause    string            `json:"cause"`    // the last clause of message, with the DNS account or the class
	WaitsFor string            `json:"waits_for"`
	Plan     *Planned          `json:"plan"`  // null: no action
	Probe    []string          `json:"probe"` // probed endpoints
	// Problems are the open ones that affect it, from the daily examination or a probe.
	Problems []ledger.Problem `json:"problems"`

	Work *Work `json:"-"` // nil: no attempt; Page has the list

	record *ledger.Record // nil without a record
	text   string         // searchable text
}

// Window is a time span.
type Window struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Planned is the planned action of a certificate.
type Planned struct {
	Kind   ledger.Kind   `json:"action"`
	Reason ledger.Reason `json:"reason"`
	Detail string        `json:"detail"`
	Wants  ledger.Kind   `json:"waiting"` // of a hold: the action that waits
	Until  *time.Time    `json:"until"`   // of a hold: its end

	brief string // detail without messages that the page shows elsewhere
}

// New makes the page for a time.
func New(in Input, now time.Time) *Page {
	p := &Page{Input: in, Now: now, byName: make(map[string]*Certificate, len(in.Records))}
	actions := make(map[string]*plan.Action, len(in.Actions))
	for i := range in.Actions {
		actions[in.Actions[i].Certificate] = &in.Actions[i]
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
	for i := range in.Actions {
		if a := &in.Actions[i]; p.byName[a.Certificate] == nil {
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

// Certificate returns a certificate by name; nil if there is none.
func (p *Page) Certificate(name string) *Certificate { return p.byName[name] }

// TeamLabel is the label with a certificate's team.
const TeamLabel = "team"

// Team returns the certificate's team; "" without one.
func (c *Certificate) Team() string { return c.Labels[TeamLabel] }

func newCertificate(r *ledger.Record, a *plan.Action, open []ledger.Problem, now time.Time) *Certificate {
	c := &Certificate{Names: []string{}, Labels: map[string]string{}, Probe: []string{}, Problems: append([]ledger.Problem{}, open...), record: r}
	c.State = stateOf(r, a, open, now)
	if a != nil {
		c.fromAction(a)
	}
	if r != nil {
		c.fromRecord(r, now)
	}
	c.text = c.searched()
	return c
}

// shorten removes from the plan's detail the messages that appear beside it or at the
// top.
func (c *Certificate) shorten(tripped []plan.Tripped) {
	if c.Plan == nil {
		return
	}
	c.Plan.brief = ledger.WithoutMessage(c.Plan.Detail, c.Message)
	for _, t := range tripped {
		c.Plan.brief = ledger.WithoutMessage(c.Plan.brief, t.Message)
	}
}

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

// fromRecord copies the record; it overrides the plan's values.
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
		return // retired certificates are not renewed
	}
	c.RenewAt, c.RenewBy = r.RenewAt, r.NextBy()
	if c.RenewAt == nil && !r.Paused(now) {
		c.RenewAt = r.Unmanaged.Until // its pause is over
	}
	if c.RenewBy == ledger.ReasonWindow || c.RenewBy == ledger.ReasonRevoking {
		c.Window = &Window{Start: r.RenewalInfo.Start, End: r.RenewalInfo.End}
	}
}

// searched returns a certificate's searchable text, in lower case.
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
