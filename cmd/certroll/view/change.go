package view

import (
	"path"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/review"
	"certroll/spec"
	"certroll/spec/text"
)

// Note is a note to the reviewer, with its place.
type Note struct {
	Code        string `json:"code"`
	Certificate string `json:"certificate"` // "" if the remark is about another block
	Text        string `json:"text"`
	File        string `json:"file"` // from the root of the repository; "": no place
	Line        int    `json:"line"` // from 1; 0: unknown
	Column      int    `json:"column"`
	InBase      bool   `json:"in_base"` // the place is in the base revision, and may no longer exist
}

// Base is the revision that a change is compared with.
type Base struct {
	Ref      string `json:"ref"` // as given on the command line
	Revision string `json:"revision"`
}

// Change is the effect of a change of the config repo. Arrays are never null.
type Change struct {
	Base         Base                `json:"base"`
	Summary      map[string]int      `json:"summary"`      // the change's actions by kind
	Blocks       []BlockChange       `json:"blocks"`       // issuer and dns blocks
	Certificates []CertificateChange `json:"certificates"` // by name
	Anyway       []string            `json:"due_anyway"`   // certificates whose action is due without the change too
}

// BlockChange is a changed issuer or dns block.
type BlockChange struct {
	Block        string    `json:"block"` // "dns.cloudflare"
	Change       string    `json:"change"`
	Settings     []Setting `json:"settings"`
	Credentials  []string  `json:"credentials"`  // references, as written
	Certificates int       `json:"certificates"` // number of certificates that use it
	File         string    `json:"file"`
	Line         int       `json:"line"`
}

// CertificateChange is one certificate that the change declares or affects.
type CertificateChange struct {
	Certificate string    `json:"certificate"`
	Change      string    `json:"change"` // added, removed, changed, moved, affected
	Settings    []Setting `json:"settings"`
	Before      string    `json:"before"` // the action without the change; "" for none
	Action      *Action   `json:"action"` // the action with the change; null for none
	File        string    `json:"file"`
	Line        int       `json:"line"`
}

// Setting is one changed setting.
type Setting struct {
	Field  string `json:"field"`
	Old    string `json:"old"`
	New    string `json:"new"`
	Effect string `json:"effect"` // action, at_once, next_renewal, when_resumed; "" for a block
}

// NewChange builds the view of a change. directory is the files' directory in the
// repository.
func NewChange(base Base, directory string, set *review.ChangeSet) *Change {
	c := &Change{Base: base, Summary: map[string]int{}, Blocks: []BlockChange{}, Certificates: []CertificateChange{}, Anyway: []string{}}
	for _, b := range set.Blocks {
		c.Blocks = append(c.Blocks, BlockChange{
			Block: b.Type + "." + b.Name, Change: b.Change, Settings: newSettings(b.Settings), Credentials: append([]string{}, b.Credentials...),
			Certificates: b.Certificates, File: inRepo(directory, b.At.Filename), Line: b.At.Start.Line,
		})
	}
	for _, cc := range set.Certificates {
		v := CertificateChange{Certificate: cc.Name, Change: cc.Change, Settings: newSettings(cc.Settings)}
		switch {
		case cc.New != nil:
			v.File, v.Line = inRepo(directory, cc.New.Range.Filename), cc.New.Range.Start.Line
		case cc.Old != nil:
			v.File, v.Line = inRepo(directory, cc.Old.Range.Filename), cc.Old.Range.Start.Line
		}
		if cc.Before != nil {
			v.Before = string(cc.Before.Kind)
		}
		if cc.After != nil {
			a := newAction(*cc.After)
			v.Action = &a
			c.Summary[a.Action]++
		}
		c.Certificates = append(c.Certificates, v)
	}
	for _, a := range set.Anyway {
		c.Anyway = append(c.Anyway, a.Certificate)
	}
	return c
}

// NewNotes builds the view of remarks.
func NewNotes(directory string, reviewNotes []review.Note) []Note {
	list := make([]Note, 0, len(reviewNotes))
	for _, r := range reviewNotes {
		list = append(list, Note{Code: r.Code, Certificate: r.Certificate, Text: r.Text,
			File: inRepo(directory, r.Place.File), Line: r.Place.Line, Column: r.Place.Column, InBase: r.Place.Old})
	}
	return list
}

func inRepo(directory, file string) string {
	if file == "" {
		return ""
	}
	return path.Join(directory, file)
}

func newSettings(from []review.Setting) []Setting {
	list := make([]Setting, len(from))
	for i, s := range from {
		list[i] = Setting{s.Field, s.Old, s.New, string(s.Effect)}
	}
	return list
}

func (r Note) subject() string {
	if r.Certificate == "" {
		return r.Text
	}
	return r.Certificate + ": " + r.Text
}

// fileLine returns "file:line"; only the file if the line is unknown.
func fileLine(file string, line int) string {
	if file == "" || line == 0 {
		return file
	}
	return sprint("%s:%d", file, line)
}

// titles has the titles of the remarks' codes.
var titles = map[string]string{
	review.NoteBlock: "issuer or dns block", review.NoteOther: "another team's domain", review.NoteRemoved: "certificate removed",
	review.NoteMass:      "much changes at once",
	review.NoteDirectory: "moved to another directory", review.NoteWeaker: "weaker key", review.NoteRotation: "key rotation off",
	review.NoteAuto: "renewal off", review.NoteIssuer: "another issuer", review.NoteDNS: "another DNS account",
	review.NoteOnRemove: "on_remove changed", review.NoteLimit: "limit of the CA", review.NoteLifetime: "short lifetime",
	review.NoteCheck: "DNS", review.NoteSameNames: "same names twice",
}

// title returns the title of the remark's code.
func (r Note) title() string {
	if t := titles[r.Code]; t != "" {
		return t
	}
	return strings.ReplaceAll(r.Code, "_", " ")
}

var effects = map[string]string{
	string(review.EffectAction): "with this action", string(review.EffectAtOnce): "at once, nothing is ordered",
	string(review.EffectRenewal): "takes effect with the next renewal", string(review.EffectResumed): "takes effect when renewal.auto is on again",
}

// comparedWith names the base as given, and its commit.
func comparedWith(b Base) string {
	if b.Ref == b.Revision {
		return shortRevision(b.Revision)
	}
	return sprint("%s (%s)", text.Line(b.Ref), shortRevision(b.Revision))
}

// writeChange prints a change: blocks, warnings, certificates, and the actions due
// without it.
func writeChange(out printer, p Palette, plan Plan) {
	c := plan.Change
	out.f("%s\n\n", p.dim("Compared with "+comparedWith(c.Base)+"."))
	for _, b := range c.Blocks {
		out.f("%s %s  %s, for %s  %s\n", p.red("!"), p.bold(b.Block), blockVerb(b), text.Counted(b.Certificates, "certificate"), p.dim(text.Line(fileLine(b.File, b.Line))))
		for _, s := range b.Settings {
			writeSetting(out, p, s)
		}
		for _, cred := range b.Credentials {
			out.f("    hands over %s\n", text.Line(cred))
		}
		out.f("\n")
	}
	writeNotes(out, p, slices.DeleteFunc(slices.Clone(plan.Review), func(r Note) bool { return r.Code == review.NoteBlock }))
	for _, cc := range c.Certificates {
		writeCertificateChange(out, p, cc)
	}
	if n := len(c.Anyway); n > 0 {
		out.f("%s: %s\n\n", p.bold(sprint("Due anyway, without this change (%d)", n)), text.Line(text.Some(c.Anyway, 20)))
	}
	out.f("%s %s.\n", p.bold("This change:"), c.headline())
}

func writeNotes(out printer, p Palette, reviewNotes []Note) {
	for _, r := range reviewNotes {
		where := ""
		if r.File != "" {
			where = " " + p.dim("("+text.Line(fileLine(r.File, r.Line))+")")
		}
		out.f("%s %s\n", p.yellow("Warning:"), indent(wrap(text.Line(r.title()+": "+r.subject()), textWidth), "  ")[2:]+where)
	}
	if len(reviewNotes) > 0 {
		out.f("\n")
	}
}

func writeCertificateChange(out printer, p Palette, cc CertificateChange) {
	if cc.Action != nil && cc.Action.Action != string(ledger.KindNone) {
		writeAction(out, p, *cc.Action, cc.Settings)
		return
	}
	symbol, what := p.cyan("~"), "has other settings, nothing is done now"
	switch cc.Change {
	case review.ChangeRemoved:
		symbol, what = p.red("-"), "is removed, there is nothing to do"
	case review.ChangeAdded:
		what = "is declared, and up to date already"
	case review.ChangeMoved:
		what = "has another name, nothing is done now"
	}
	out.f("%s %s  %s\n", symbol, p.bold(cc.Certificate), what)
	for _, s := range cc.Settings {
		writeSetting(out, p, s)
	}
	if cc.Action != nil {
		for _, warning := range cc.Action.Warnings {
			out.f("    %s %s\n", p.yellow("!"), text.Line(warning))
		}
	}
	out.f("\n")
}

func writeSetting(out printer, p Palette, s Setting) {
	effect := ""
	if e := effects[s.Effect]; e != "" {
		effect = p.dim(" (" + e + ")")
	}
	out.f("    %s%s\n", p.yellow(text.Line(sprint("~ %s: %s -> %s", s.Field, orLeftOut(s.shown(s.Old)), orLeftOut(s.shown(s.New))))), effect)
}

// shown formats a value as people write it: an end of a pause that was given as a date
// is a date again.
func (s Setting) shown(value string) string {
	if end, err := time.Parse(time.RFC3339, value); err == nil && s.Field == "renewal.until" {
		return spec.EndText(end)
	}
	return value
}

func orLeftOut(text string) string {
	if text == "" {
		return "(left out)"
	}
	return text
}

func blockVerb(b BlockChange) string {
	switch b.Change {
	case review.ChangeAdded:
		return "is new"
	case review.ChangeRemoved:
		return "is gone"
	default:
		return "changed"
	}
}

// headline summarizes the change in one line.
func (c *Change) headline() string {
	var actions []Action
	for _, cc := range c.Certificates {
		if cc.Action != nil {
			actions = append(actions, *cc.Action)
		}
	}
	parts := tally(actions, kinds, "")
	quiet := 0
	for _, cc := range c.Certificates {
		if cc.Action == nil || cc.Action.Action == string(ledger.KindNone) {
			quiet++
		}
	}
	if quiet > 0 {
		parts = append(parts, sprint("%d with other settings alone", quiet))
	}
	if n := len(c.Blocks); n > 0 {
		parts = append(parts, text.Counted(n, "issuer or dns block"))
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

// headline summarizes the plan in one line.
func (p Plan) headline() string {
	if p.Change != nil {
		return p.Change.headline()
	}
	parts := tally(p.Actions, kinds, "")
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

// Offline describes the basis of a plan made without Vault.
type Offline struct {
	Ledger string     `json:"ledger"` // the commit; "" without a ledger
	Time   *time.Time `json:"time"`   // the commit's time; null if unknown
}
