package view

import (
	"io"
	"slices"
	"sort"
	"strings"

	"certroll/reconcile/ledger"
	"certroll/reconcile/review"
	"certroll/spec/text"
)

// MarkdownLimit fits a comment on every host: GitHub accepts 65,536 characters, GitLab
// 1,000,000. It counts bytes, of which a text has at least as many as characters.
const MarkdownLimit = 65_000

// MarkdownOptions are the settings of WriteMarkdown.
type MarkdownOptions struct {
	Limit int    // bytes; 0: MarkdownLimit
	Link  string // URL of the whole plan; "": mention the command line
}

// WriteMarkdown prints a plan as a comment on a pull request. Text from the repository
// stands in code spans, where nothing is a link, a mention, an issue reference or HTML;
// only plain words of sentences stand outside. It omits what exceeds the limit, and says
// so: first details, then rows.
func WriteMarkdown(w io.Writer, plan Plan, o MarkdownOptions) {
	if o.Limit <= 0 {
		o.Limit = MarkdownLimit
	}
	printer{w}.f("%s", newComment(plan, o).fit())
}

// comment is a plan during rendering to Markdown.
type comment struct {
	plan  Plan
	o     MarkdownOptions
	items []item
}

// item is one row of the table with its folded details.
type item struct {
	group       string // the heading of its details
	symbol      string
	certificate string
	what        string // certroll's own words
	why         string // Markdown
	file        string
	action      *Action
	settings    []Setting
}

// cut is the amount of a comment that is written.
type cut struct {
	text    int // runes of one value
	full    int // certificates with their settings
	details int // certificates with one line
	rows    int // rows of the table, and remarks of each kind
}

func newComment(plan Plan, o MarkdownOptions) *comment {
	c := &comment{plan: plan, o: o}
	if plan.Change == nil {
		for _, a := range plan.Actions {
			if a.Action != string(ledger.KindNone) {
				c.items = append(c.items, actionItem(a, nil))
			}
		}
	} else {
		for _, cc := range plan.Change.Certificates {
			c.items = append(c.items, changeItem(cc))
		}
	}
	slices.SortStableFunc(c.items, func(a, b item) int { return groupRank(a.group) - groupRank(b.group) })
	return c
}

const (
	groupRemoved  = "removed"
	groupSettings = "settings"
)

func groupRank(group string) int {
	for i, k := range kinds {
		if string(k) == group {
			return i + 1
		}
	}
	if group == groupRemoved {
		return 0
	}
	return len(kinds) + 1
}

func actionItem(a Action, settings []Setting) item {
	return item{
		group: a.Action, symbol: a.symbol(Palette{}), certificate: a.Certificate, what: verb(a),
		why: a.why(), action: &a, settings: settings,
	}
}

func changeItem(cc CertificateChange) item {
	var i item
	switch {
	case cc.Action != nil && cc.Action.Action != string(ledger.KindNone):
		i = actionItem(*cc.Action, cc.Settings)
	case cc.Change == review.ChangeRemoved:
		i = item{group: groupRemoved, symbol: "-", certificate: cc.Certificate, what: "is removed, there is nothing to do"}
	default:
		i = item{group: groupSettings, symbol: "~", certificate: cc.Certificate, what: "nothing is done now", action: cc.Action, settings: cc.Settings}
	}
	i.file = fileLine(cc.File, cc.Line)
	if len(cc.Settings) > 0 {
		i.why = fieldNames(cc.Settings)
	}
	return i
}

func fieldNames(settings []Setting) string {
	names := make([]string, 0, len(settings))
	for _, s := range settings {
		names = append(names, text.Code(s.Field, 40))
	}
	return text.Some(names, 5)
}

// fit writes as much as the limit allows.
func (c *comment) fit() string {
	all := len(c.items)
	rows := max(all, len(c.plan.Review))
	if text := c.write(cut{text: 400, full: all, details: all, rows: rows}); len(text) <= c.o.Limit {
		return text
	}
	// Each step takes the largest count that fits; a higher count makes the text longer.
	for _, step := range []struct {
		most int
		with func(n int) cut
	}{
		{all, func(n int) cut { return cut{text: 120, full: n, details: all, rows: rows} }},
		{all, func(n int) cut { return cut{text: 80, details: n, rows: rows} }},
		{rows, func(n int) cut { return cut{text: 80, rows: n} }},
	} {
		tooLong := func(n int) bool { return len(c.write(step.with(n))) > c.o.Limit }
		if !tooLong(0) {
			return c.write(step.with(sort.Search(step.most, func(n int) bool { return tooLong(n + 1) })))
		}
	}
	return c.write(cut{text: 80})
}

func (c *comment) write(k cut) string {
	var b strings.Builder
	out := printer{&b}
	out.f("### certroll: %s\n\n", c.plan.headline())
	c.preamble(out, k)
	c.warnings(out, k)
	c.table(out, k)
	c.details(out, k)
	c.anyway(out, k)
	c.leftOut(out, k)
	return b.String()
}

func (c *comment) preamble(out printer, k cut) {
	if ch := c.plan.Change; ch != nil {
		out.f("Compared with %s (%s).\n\n", text.Code(ch.Base.Ref, k.text), text.Code(shortRevision(ch.Base.Revision), k.text))
	}
	for i, warning := range c.plan.Warnings {
		if i == mostWarnings {
			out.f("> and %d more\n", len(c.plan.Warnings)-i)
			break
		}
		out.f("> **Warning:** %s\n>\n", text.Prose(warning, 500))
	}
	if len(c.plan.Warnings) > 0 {
		out.f("\n")
	}
}

// mostWarnings bounds the warnings about the whole plan, which come first and must not
// fill the comment.
const mostWarnings = 20

// warnings writes the review's warnings, issuer and dns blocks first.
func (c *comment) warnings(out printer, k cut) {
	if len(c.plan.Review) == 0 {
		return
	}
	out.f("**%s**\n\n", text.Counted(len(c.plan.Review), "warning"))
	if c.plan.Change != nil {
		for i, b := range c.plan.Change.Blocks {
			if i < k.rows {
				c.block(out, k, b)
			}
		}
	}
	for _, group := range c.review() {
		if group[0].Code == review.NoteBlock && c.plan.Change != nil {
			continue
		}
		for i, r := range group[:min(k.rows, len(group))] {
			if i == unfolded {
				out.f("\n<details><summary>%d more: %s</summary>\n\n", len(group)-i, r.title())
			}
			out.f("- **%s** %s%s\n", r.title(), r.markdown(k), at(r.File, r.Line))
		}
		if min(k.rows, len(group)) > unfolded {
			out.f("\n</details>\n\n")
		}
	}
	out.f("\n")
}

func (r Note) markdown(k cut) string {
	if r.Certificate == "" {
		return text.Prose(r.Text, k.text)
	}
	return text.Code(r.Certificate, 200) + ": " + text.Prose(r.Text, k.text)
}

// unfolded is the number of unfolded warnings of one kind.
const unfolded = 10

// review groups the remarks by code.
func (c *comment) review() [][]Note {
	var groups [][]Note
	for i, r := range c.plan.Review {
		if i == 0 || r.Code != c.plan.Review[i-1].Code {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], r)
	}
	return groups
}

func (c *comment) block(out printer, k cut, b BlockChange) {
	out.f("- **issuer or dns block** %s %s, for %s%s\n", text.Code(b.Block, k.text), blockVerb(b), text.Counted(b.Certificates, "certificate"), at(b.File, b.Line))
	for i, s := range b.Settings {
		if k.full == 0 && i == 3 {
			out.f("  - and %d more\n", len(b.Settings)-i)
			break
		}
		out.f("  - %s\n", settingLine(s, k))
	}
	if len(b.Credentials) > 0 {
		out.f("  - hands over %s\n", text.Code(strings.Join(b.Credentials, ", "), k.text))
	}
}

func settingLine(s Setting, k cut) string {
	line := sprint("%s: %s → %s", text.Code(s.Field, k.text), valueOrNone(s.shown(s.Old), k), valueOrNone(s.shown(s.New), k))
	if e := effects[s.Effect]; e != "" {
		line += " (" + e + ")"
	}
	return line
}

func valueOrNone(value string, k cut) string {
	if value == "" {
		return "left out"
	}
	return text.Code(value, k.text)
}

func at(file string, line int) string {
	if file == "" {
		return ""
	}
	return " (" + text.Code(fileLine(file, line), 200) + ")"
}

func (c *comment) table(out printer, k cut) {
	if len(c.items) == 0 || k.rows == 0 {
		return
	}
	out.f("| | Certificate | Names | What | Why |\n|---|---|---|---|---|\n")
	for _, i := range c.items[:min(k.rows, len(c.items))] {
		out.f("| `%s` | %s | %s | %s | %s |\n", i.symbol, text.Code(i.certificate, 200), i.names(k), i.what, i.why)
	}
	out.f("\n")
}

// names returns the first of a certificate's names, and the number of others.
func (i item) names(k cut) string {
	if i.action == nil || len(i.action.Names) == 0 {
		return ""
	}
	first := text.Code(i.action.Names[0], min(k.text, 60))
	if more := len(i.action.Names) - 1; more > 0 {
		return sprint("%s and %d more", first, more)
	}
	return first
}

// details writes folded details, one fold per kind.
func (c *comment) details(out printer, k cut) {
	open := ""
	for n, i := range c.items[:min(k.details, len(c.items))] {
		if n == 0 || i.group != open {
			if n > 0 {
				out.f("\n</details>\n\n")
			}
			open = i.group
			out.f("<details><summary>%s</summary>\n\n", c.summary(i.group))
		}
		c.detail(out, k, i, n < k.full)
	}
	if open != "" {
		out.f("\n</details>\n\n")
	}
}

func (c *comment) summary(group string) string {
	n := 0
	for _, i := range c.items {
		if i.group == group {
			n++
		}
	}
	switch group {
	case groupRemoved:
		return sprint("%d removed", n)
	case groupSettings:
		return sprint("%d with other settings alone", n)
	}
	if group != string(ledger.KindNote) {
		return sprint("%d %s", n, tallyWords[ledger.Kind(group)])
	}
	var actions []Action
	for _, i := range c.items {
		if i.action != nil {
			actions = append(actions, *i.action)
		}
	}
	return notes(n, actions)
}

func (c *comment) detail(out printer, k cut, i item, full bool) {
	out.f("- %s", text.Code(i.certificate, 200))
	if i.file != "" {
		out.f(" in %s", text.Code(i.file, 200))
	}
	if a := i.action; a != nil {
		if len(a.Names) > 0 {
			out.f(", %s", text.Code(text.Some(a.Names, 6), k.text))
		}
		if a.VaultPath != "" && full {
			out.f(", %s", text.Code(a.VaultPath+versionOf(*a), k.text))
		}
		out.f(": %s", text.Prose(a.whyDetail(), k.text))
	}
	out.f("\n")
	if !full {
		return
	}
	for _, s := range i.settings {
		out.f("  - %s\n", settingLine(s, k))
	}
	if i.action == nil {
		return
	}
	if len(i.settings) == 0 {
		for _, ch := range i.action.Changes {
			out.f("  - %s\n", settingLine(Setting{Field: ch.Field, Old: ch.Old, New: ch.New}, k))
		}
	}
	for _, warning := range i.action.Warnings {
		out.f("  - warning: %s\n", text.Prose(warning, k.text))
	}
}

func (c *comment) anyway(out printer, k cut) {
	if c.plan.Change == nil || len(c.plan.Change.Anyway) == 0 {
		return
	}
	most := 200
	if k.full == 0 {
		most = 10
	}
	out.f("<details><summary>%d due anyway, without this change</summary>\n\n%s\n\n</details>\n\n",
		len(c.plan.Change.Anyway), text.Code(text.Some(c.plan.Change.Anyway, most), 20_000))
}

// leftOut writes how much was omitted, and where it is.
func (c *comment) leftOut(out printer, k cut) {
	var parts []string
	if n := len(c.items) - min(k.rows, len(c.items)); n > 0 {
		parts = append(parts, sprint("%d of %d rows", n, len(c.items)))
	}
	n := 0
	for _, group := range c.review() {
		n += len(group) - min(k.rows, len(group))
	}
	if n > 0 {
		parts = append(parts, sprint("%d of %d warnings", n, len(c.plan.Review)))
	}
	if c.plan.Change != nil {
		if n := len(c.plan.Change.Blocks) - min(k.rows, len(c.plan.Change.Blocks)); n > 0 {
			parts = append(parts, sprint("%d of %d blocks", n, len(c.plan.Change.Blocks)))
		}
	}
	if n := len(c.items) - min(k.details, len(c.items)); n > 0 {
		parts = append(parts, sprint("the details of %s", text.Counted(n, "certificate")))
	}
	if n := min(k.details, len(c.items)) - min(k.full, len(c.items)); n > 0 {
		parts = append(parts, sprint("the settings of %s", text.Counted(n, "certificate")))
	}
	if len(parts) == 0 {
		if c.o.Link != "" {
			out.f("[All of it](<%s>)\n", c.o.Link)
		}
		return
	}
	where := "by `certroll plan` in a checkout"
	if c.o.Link != "" {
		where = sprint("[there](<%s>)", c.o.Link)
	}
	out.f("Left out, as a comment has no room for them: %s. See all of it %s.\n", strings.Join(parts, "; "), where)
}
