package view

import (
	"io"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/text"
)

// PlanSchema is the version of the plan's JSON.
const PlanSchema = 1

// Plan is a plan for display. Arrays are never null.
type Plan struct {
	Schema       int            `json:"schema"`
	Revision     string         `json:"revision"` // "" for a plain directory outside Git
	Time         time.Time      `json:"time"`
	Certificates int            `json:"certificates"` // in the spec, and retired ones
	Summary      map[string]int `json:"summary"`      // number of actions by kind
	Actions      []Action       `json:"actions"`      // by name, including certificates without an action
	Warnings     []string       `json:"warnings"`     // about the whole plan
	Review       []Note         `json:"review"`       // notes to the reviewer
	Change       *Change        `json:"change"`       // null without a base
	Offline      *Offline       `json:"offline"`      // null if Vault was read
	Held         *Held          `json:"held"`         // null if the brake holds nothing
}

// Held is a change that waits for a person's consent because it affects too many live
// certificates.
type Held struct {
	ID           string   `json:"id"`      // for accept --missing
	Summary      string   `json:"summary"` // the action and its number of certificates
	Live         int      `json:"live"`    // number of live certificates
	Certificates []string `json:"certificates"`
}

func newHeld(set *ledger.HeldSet) *Held {
	if set == nil {
		return nil
	}
	h := &Held{ID: set.ID, Summary: set.Summary(), Live: set.Live, Certificates: []string{}}
	for _, c := range set.Certificates {
		h.Certificates = append(h.Certificates, c.Certificate)
	}
	return h
}

// Action is one action of a plan.
type Action struct {
	Certificate string        `json:"certificate"`
	Action      string        `json:"action"`
	Reason      string        `json:"reason"`
	Detail      string        `json:"detail"`
	Names       []string      `json:"names"`
	Changes     []plan.Change `json:"changes"`
	Issuer      string        `json:"issuer"`     // of the order; "" without an order
	NotBefore   *time.Time    `json:"not_before"` // end of the hold, or the due time; null: never
	Waiting     string        `json:"waiting"`    // for a hold: the action that waits
	Warnings    []string      `json:"warnings"`
	VaultPath   string        `json:"vault_path"`
	Version     int           `json:"vault_version"`
	Serial      string        `json:"serial"`          // of the live certificate; "" for none
	NotAfter    *time.Time    `json:"not_after"`       // of the live certificate
	NextKey     string        `json:"next_key_digest"` // of the staged key; "" for none
	MovedFrom   string        `json:"moved_from"`      // the earlier name, by a moved block; "" for none

	pause string // how long renewal is off, such as "through 2026-12-31"; "" if it is on
}

// NewPlan builds the view of a plan.
func NewPlan(revision string, now time.Time, actions []plan.Action, warnings []string) Plan {
	p := Plan{Schema: PlanSchema, Revision: revision, Time: now.UTC().Truncate(time.Second), Certificates: len(actions),
		Summary: map[string]int{}, Actions: make([]Action, 0, len(actions)), Warnings: append([]string{}, warnings...), Review: []Note{}}
	p.Held = newHeld(plan.MassHold(actions))
	for _, a := range actions {
		p.Summary[string(a.Kind)]++
		p.Actions = append(p.Actions, newAction(a))
	}
	return p
}

func newAction(a plan.Action) Action {
	v := Action{
		Certificate: a.Certificate, Action: string(a.Kind), Reason: string(a.Reason), Detail: a.Detail, Waiting: string(a.Wants),
		Names: []string{}, Changes: append([]plan.Change{}, a.Changes...), Warnings: append([]string{}, a.Warnings...),
		MovedFrom: a.MovedFrom(),
	}
	if a.Spec != nil {
		for _, d := range a.Spec.Domains {
			v.Names = append(v.Names, d.Typed)
		}
		v.pause = pauseOf(a.Spec.Renewal)
	}
	if a.Issuer != nil {
		v.Issuer = a.Issuer.Name
	}
	if a.At.Path != "" {
		v.VaultPath, v.Version = a.At.String(), a.Secret.Version
	}
	if a.Next != nil {
		v.NextKey = a.Next.KeyDigest
	}
	if !a.NotBefore.IsZero() {
		t := a.NotBefore.UTC()
		v.NotBefore = &t
	}
	if l := a.Secret.Live; l != nil {
		t := l.End().UTC()
		v.Serial, v.NotAfter = l.Serial, &t
	}
	return v
}

// pauseOf describes how long renewal is off.
func pauseOf(r spec.Renewal) string {
	switch {
	case r.Auto:
		return ""
	case r.Until.IsZero():
		return "without an end"
	}
	return spec.EndText(r.Until)
}

// Changed reports whether there is anything to do; of a plan with a base, by the change.
func (p Plan) Changed() bool {
	if p.Change != nil {
		return len(p.Change.Blocks)+len(p.Change.Certificates) > 0
	}
	return p.Changes() > 0
}

// Changes counts the actions that apply would do.
func (p Plan) Changes() int {
	n := 0
	for kind, count := range p.Summary {
		if kind != string(ledger.KindNone) && kind != string(ledger.KindHold) {
			n += count
		}
	}
	return n
}

// kinds is the display order of kinds.
var kinds = []ledger.Kind{
	ledger.KindRetire, ledger.KindReissue, ledger.KindRotate, ledger.KindIssue, ledger.KindRenew,
	ledger.KindAdopt, ledger.KindRepair, ledger.KindRevoke, ledger.KindStage, ledger.KindNote, ledger.KindHold,
}

// WritePlan prints a plan as text.
func WritePlan(w io.Writer, p Palette, plan Plan) {
	out := printer{w}
	for _, warning := range plan.Warnings {
		out.f("%s %s\n", p.yellow("Warning:"), indent(wrap(text.Line(warning), textWidth), "  ")[2:])
	}
	if len(plan.Warnings) > 0 {
		out.f("\n")
	}
	if plan.Change != nil {
		writeChange(out, p, plan)
		return
	}
	writeNotes(out, p, plan.Review)
	for _, kind := range kinds {
		for _, a := range plan.Actions {
			if a.Action == string(kind) {
				writeAction(out, p, a, nil)
			}
		}
	}
	for _, a := range plan.Actions {
		if a.Action == string(ledger.KindNone) {
			for _, warning := range a.Warnings {
				out.f("%s %s\n", p.yellow("!"), hang(a.Certificate+": "+warning, 2))
			}
		}
	}
	writeSummary(out, p, plan)
	if h := plan.Held; h != nil {
		out.f("%s %s\n", p.yellow("Held:"), hang(h.Summary+". certroll does nothing of it until a person accepts it: certroll accept --missing "+h.ID, 6))
	}
}

func writeAction(out printer, p Palette, a Action, settings []Setting) {
	out.f("%s %s  %s\n", a.symbol(p), p.bold(a.Certificate), verb(a))
	if len(a.Names) > 0 {
		out.f("    names   %s\n", hang(text.Some(a.Names, 6), 12))
	}
	if a.VaultPath != "" {
		out.f("    vault   %s\n", text.Line(a.VaultPath+versionOf(a)))
	}
	out.f("    why     %s\n", hang(a.whyDetail(), 12))
	if a.NextKey != "" && ledger.Kind(a.Action).Orders() {
		out.f("    key     %s\n", "the staged one, SPKI SHA-256 "+a.NextKey)
	}
	if len(settings) == 0 {
		for _, c := range a.Changes {
			if !strings.Contains(a.Detail, c.Old) || !strings.Contains(a.Detail, c.New) {
				out.f("    %s\n", p.yellow(text.Line("~ "+c.Field+": "+c.Old+" -> "+c.New)))
			}
		}
	}
	for _, s := range settings {
		writeSetting(out, p, s)
	}
	for _, warning := range a.Warnings {
		out.f("    %s %s\n", p.yellow("!"), hang(warning, 6))
	}
	out.f("\n")
}

func versionOf(a Action) string {
	if a.Version == 0 {
		return ""
	}
	if a.Serial == "" {
		return sprint(" (version %d)", a.Version)
	}
	return sprint(" (version %d, serial %s, expires %s)", a.Version, shortSerial(a.Serial), a.NotAfter.Format(time.DateOnly))
}

func verb(a Action) string {
	if ledger.Reason(a.Reason) == ledger.ReasonRenamed && a.Action != string(ledger.KindHold) {
		return movedVerb(a)
	}
	switch ledger.Kind(a.Action) {
	case ledger.KindIssue:
		return "will be issued"
	case ledger.KindRenew:
		return "will be renewed"
	case ledger.KindRotate:
		return "will be rotated"
	case ledger.KindReissue:
		return "will be reissued"
	case ledger.KindAdopt:
		return "will be adopted"
	case ledger.KindRepair:
		return "will be repaired"
	case ledger.KindRetire:
		return "will be retired"
	case ledger.KindRevoke:
		return "has an earlier certificate that will be revoked"
	case ledger.KindStage:
		if ledger.Reason(a.Reason) == ledger.ReasonNextKeyOff {
			return "will withdraw its next key"
		}
		return "will stage its next key"
	case ledger.KindNote:
		return noteVerb(a)
	case ledger.KindHold:
		if ledger.Reason(a.Reason) == ledger.ReasonNotRead {
			return a.Waiting + " waits until its file is read again or gone"
		}
		if ledger.Reason(a.Reason) == ledger.ReasonMass {
			if a.Waiting == string(ledger.KindNone) {
				return "stays where it is until a person accepts its move"
			}
			return a.Waiting + " waits until a person accepts it"
		}
		return a.Waiting + " waits until " + a.NotBefore.Format(time.RFC3339)
	}
	return ""
}

func (a Action) symbol(p Palette) string {
	if ledger.Reason(a.Reason) == ledger.ReasonRenamed && a.Action == string(ledger.KindRetire) {
		return p.cyan("~") // nothing disappears
	}
	return symbol(p, a.Action)
}

func movedVerb(a Action) string {
	if a.Action == string(ledger.KindRetire) {
		return "continues under another name"
	}
	return "moved from " + text.Line(a.MovedFrom)
}

// noteVerb describes the subject of a note action.
func noteVerb(a Action) string {
	switch ledger.Reason(a.Reason) {
	case ledger.ReasonPauseBegan:
		if a.pause == "" {
			return "renewal will be off"
		}
		return "renewal will be off " + a.pause
	case ledger.ReasonPauseEnded:
		return "renewal will be on again"
	case ledger.ReasonOverdue:
		return "renewal stays off, though it is due"
	}
	return "will be recorded in the ledger"
}

// why returns the action's reason in words; "new" for a missing certificate.
func (a Action) why() string {
	if a.Reason == string(ledger.ReasonMissing) {
		return "new"
	}
	return strings.ReplaceAll(a.Reason, "_", " ")
}

// whyDetail returns the detail. The detail of a missing certificate does not say that it
// is new, so whyDetail adds that.
func (a Action) whyDetail() string {
	if a.Reason == string(ledger.ReasonMissing) {
		return "new: " + a.Detail
	}
	return a.Detail
}

// notes counts the note actions, by their subject.
func notes(n int, actions []Action) string {
	others := false
	for _, a := range actions {
		switch k := ledger.Kind(a.Action); {
		case k == ledger.KindNote && ledger.Reason(a.Reason) != ledger.ReasonPauseBegan && ledger.Reason(a.Reason) != ledger.ReasonPauseEnded:
			return sprint("%d %s", n, tallyWords[k])
		case k != ledger.KindNote && k != ledger.KindNone && k != ledger.KindHold:
			others = true
		}
	}
	what := "1 setting changes"
	if n > 1 {
		what = sprint("%d settings change", n)
	}
	if others {
		return what
	}
	return what + ", nothing is issued"
}

func symbol(p Palette, kind string) string {
	switch ledger.Kind(kind) {
	case ledger.KindIssue:
		return p.green("+")
	case ledger.KindRetire:
		return p.red("-")
	case ledger.KindHold:
		return p.yellow("=")
	default:
		return p.cyan("~")
	}
}

func writeSummary(out printer, p Palette, plan Plan) {
	if plan.Changes() == 0 {
		out.f("%s %s", p.green("Nothing to do."), text.Counted(plan.Certificates, "certificate"))
		if n := plan.Summary[string(ledger.KindHold)]; n > 0 {
			out.f(", %d held back%s", n, lastHold(plan))
		}
		out.f(".\n")
		return
	}
	out.f("%s%s.\n", p.bold("Plan: "), strings.Join(tally(plan.Actions, append(kinds[:len(kinds):len(kinds)], ledger.KindNone), lastHold(plan)), ", "))
}

// tally counts the actions of each kind. A certificate with a moved block counts once,
// not as one retired and one adopted.
func tally(actions []Action, kinds []ledger.Kind, ofHolds string) []string {
	count := map[ledger.Kind]int{}
	moves := map[ledger.Kind]int{}
	for _, a := range actions {
		if kind := ledger.Kind(a.Action); ledger.Reason(a.Reason) == ledger.ReasonRenamed && kind != ledger.KindHold {
			moves[kind]++
		} else {
			count[kind]++
		}
	}
	var parts []string
	for _, kind := range kinds {
		n := count[kind]
		if kind == ledger.KindAdopt && max(moves[ledger.KindAdopt], moves[ledger.KindRetire]) > 0 {
			parts = append(parts, sprint("%d to move to another name", max(moves[ledger.KindAdopt], moves[ledger.KindRetire])))
		}
		if kind == ledger.KindHold && n > 0 {
			parts = append(parts, sprint("%d %s%s", n, tallyWords[kind], ofHolds))
		} else if kind == ledger.KindNote && n > 0 {
			parts = append(parts, notes(n, actions))
		} else if n > 0 {
			parts = append(parts, sprint("%d %s", n, tallyWords[kind]))
		}
	}
	return parts
}

// lastHold returns the last end of several holds: how long a mass reissue takes under a
// CA's limits.
func lastHold(plan Plan) string {
	var last time.Time
	n := 0
	for _, a := range plan.Actions {
		if a.Action == string(ledger.KindHold) && a.NotBefore != nil && !ledger.Reason(a.Reason).WaitsForAPerson() {
			if n++; a.NotBefore.After(last) {
				last = *a.NotBefore
			}
		}
	}
	if n < 2 {
		return ""
	}
	return " (the last until " + last.Format(time.RFC3339) + ")"
}

var tallyWords = map[ledger.Kind]string{
	ledger.KindIssue: "to issue", ledger.KindRenew: "to renew", ledger.KindRotate: "to rotate",
	ledger.KindReissue: "to reissue", ledger.KindAdopt: "to adopt", ledger.KindRepair: "to repair",
	ledger.KindRetire: "to retire", ledger.KindRevoke: "to revoke", ledger.KindStage: "to stage", ledger.KindNote: "to record", ledger.KindHold: "held back", ledger.KindNone: "unchanged",
}
