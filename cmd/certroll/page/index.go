package page

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
)

// perPage is the number of rows on a page.
const perPage = 200

// listed is the number of actions or problems above the table.
const listed = 6

// layout is the form of the page: served, or as files.
type layout struct {
	Root   string // the path to the first page: "", or "../"
	Static bool
}

// Way returns the URL of a certificate's page.
func (l layout) Way(name string) string {
	if l.Static {
		return l.Root + "certificates/" + url.PathEscape(fileName(name))
	}
	return l.Root + "certificates/" + url.PathEscape(name)
}

// Home returns the URL of the first page.
func (l layout) Home() string {
	switch {
	case l.Static:
		return l.Root + "index.html"
	case l.Root == "":
		return "./"
	default:
		return l.Root
	}
}

// head is the top of every page.
type head struct {
	layout
	Title string
	*Page
}

// Alerts returns the alerts about all certificates, worst first. It omits a trouble of
// the last pass, which has no title, if an alert already names its cause. Two subjects
// that fail for the same cause are two alerts.
func (h head) Alerts() []alert {
	var list []alert
	add := func(title, text string) {
		cause := ledger.Cause(text)
		if title != "" || !slices.ContainsFunc(list, func(a alert) bool { return ledger.Cause(a.Text) == cause }) {
			list = append(list, alert{title, text})
		}
	}
	if p := h.Pass; p != nil && p.Error != "" {
		title := "The last pass failed " + distance(p.Ended, h.Now)
		if !p.SeenAt.IsZero() && p.SeenAt.Before(p.Ended) {
			title += "; how things stand was last seen " + distance(p.SeenAt, h.Now)
		}
		add(title, p.Error)
	}
	if n := h.Newest; n != nil {
		what := "was refused"
		if n.Reason != ledger.ReasonRefused {
			what = "is held back (" + words(n.Reason) + ")"
		}
		who := ""
		if n.Author != "" {
			who = " by " + n.Author
		}
		add(strings.TrimSpace("The newest revision "+short(n.Commit))+who+" "+what, n.Message)
	}
	for _, t := range h.Tripped {
		add(fmt.Sprintf("%s is held as a whole, since it failed for %d certificates (%s):", t.Subject, t.Certificates, t.Class), t.Message)
	}
	for _, t := range h.Faults {
		add("", t)
	}
	if h.Settings != nil {
		for _, note := range h.Settings.Notes {
			add("", note)
		}
	}
	return list
}

type alert struct{ Title, Text string }

// indexView is the page of all certificates.
type indexView struct {
	head
	Filter    Filter
	Totals    []total
	All       int // number that the filter matches in any state
	Matched   int
	Rows      []row
	Ticks     []tick
	Plan      []*Certificate // the first certificates with an action
	Planned   int
	Kinds     []total // of actions
	Open      []ledger.Problem
	Working   []Work // the first attempts in progress
	From, To  int
	Prev, Nxt string // URLs; "" at the ends
	Pages     int
}

type total struct {
	Name    string // as in the URL
	Word    string
	N       int
	Href    string
	Current bool
}

// row is a certificate on the time line.
type row struct {
	*Certificate
	Href   string
	Bar    bar
	Anchor ledger.State // set in the first row of its state, for links in files; else ""
	now    time.Time
}

// index returns the view for a filter.
func (p *Page) index(l layout, f Filter) indexView {
	picked, totals := p.Pick(f)
	v := indexView{head: head{l, "Certificates", p}, Filter: f, Matched: len(picked), Pages: max(1, (len(picked)+perPage-1)/perPage)}
	v.Filter.Page = max(1, min(f.Page, v.Pages))
	v.totals(totals, picked)
	v.plan()
	v.Open = p.Problems[:min(listed, len(p.Problems))]
	v.Working = p.AtWork[:min(listed, len(p.AtWork))]
	s := newScale(picked, p.Now)
	s.bent = true
	v.Ticks = s.ticks()
	from := (v.Filter.Page - 1) * perPage
	to := min(from+perPage, len(picked))
	v.From, v.To = min(from+1, to), to
	for i, c := range picked[from:to] {
		r := row{Certificate: c, Href: l.Way(c.Name), Bar: s.bar(c), now: p.Now}
		if at := from + i; at == 0 || picked[at-1].State != c.State {
			r.Anchor = c.State
		}
		v.Rows = append(v.Rows, r)
	}
	v.Prev, v.Nxt = v.page(v.Filter.Page-1), v.page(v.Filter.Page+1)
	return v
}

// page returns the URL of another page of the same certificates.
func (v *indexView) page(n int) string {
	if n < 1 || n > v.Pages {
		return ""
	}
	if v.Static {
		return pageName(n)
	}
	f := v.Filter
	f.Page = n
	return f.Query()
}

// totals links each state to its certificates: with a filter, or in files to the first
// one.
func (v *indexView) totals(n map[ledger.State]int, picked []*Certificate) {
	f := v.Filter
	f.Page = 1
	for _, s := range ledger.States {
		v.All += n[s]
		if n[s] == 0 && v.Filter.State != s {
			continue
		}
		f.State = s
		t := total{Name: string(s), Word: s.Word(), N: n[s], Href: f.Query(), Current: v.Filter.State == s}
		if t.Current {
			f.State = "" // a second click removes the filter
			t.Href = f.Query()
		}
		if v.Static {
			first := slices.IndexFunc(picked, func(c *Certificate) bool { return c.State == s })
			t.Href = pageName(first/perPage+1) + "#" + string(s)
		}
		v.Totals = append(v.Totals, t)
	}
}

// Without returns the URL of all states.
func (v *indexView) Without() string {
	f := v.Filter
	f.State, f.Page = "", 1
	return f.Query()
}

// Sorted returns the URL of the same certificates in another order.
func (v *indexView) Sorted(order string) string {
	f := v.Filter
	f.Sort, f.Page = order, 1
	return f.Query()
}

// Aria returns a column's aria-sort.
func (v *indexView) Aria(order string) string {
	if v.Filter.Sort == order {
		return "ascending"
	}
	return "none"
}

// Narrowed reports whether a filter is set.
func (v *indexView) Narrowed() bool { return v.Filter.narrows() }

// kinds is the display order of actions.
var kinds = []ledger.Kind{ledger.KindIssue, ledger.KindReissue, ledger.KindRotate, ledger.KindRenew, ledger.KindRepair, ledger.KindAdopt,
	ledger.KindRevoke, ledger.KindRetire, ledger.KindNote, ledger.KindHold}

func (v *indexView) plan() {
	n := map[ledger.Kind]int{}
	for _, c := range v.Certificates {
		if c.Plan == nil || c.Work != nil {
			continue
		}
		n[c.Plan.Kind]++
		v.Planned++
		if len(v.Plan) < listed {
			v.Plan = append(v.Plan, c)
		}
	}
	for _, k := range kinds {
		if n[k] > 0 {
			v.Kinds = append(v.Kinds, total{Name: string(k), Word: toDo(k), N: n[k], Href: Filter{Action: string(k)}.Query(), Current: v.Filter.Action == string(k)})
		}
	}
}

func toDo(k ledger.Kind) string {
	if k == ledger.KindHold {
		return "waiting"
	}
	return "to " + string(k)
}

// Sentence describes the planned action, without its kind.
func (p *Planned) Sentence() string {
	return strings.TrimPrefix(words(p.Reason)+": "+p.brief, ": ")
}

// Note is the text beside a row's time line: the cause of a hold or failure. The
// certificate's page has the whole message.
func (r row) Note() string {
	switch {
	case r.State == ledger.StateDeleted:
		return r.record.GoneText()
	case r.fails():
		return strings.TrimPrefix(r.Cause, string(r.Class)+": ")
	case r.Work != nil:
		return words(r.Work.Operation) + ", " + r.Work.At()
	case r.Plan != nil && r.Plan.Kind == ledger.KindHold:
		return r.Plan.Sentence()
	case r.Plan != nil:
		return words(r.Plan.Kind) + " (" + words(r.Plan.Reason) + "): " + r.Plan.Detail
	case r.State == ledger.StateExpiring && r.RenewAt == nil:
		return "certroll does not renew it: " + cmp.Or(r.WaitsFor, "its renewal is off")
	case r.State == ledger.StateOverdue:
		return "due since " + stamp(*r.RenewAt) + ", but certroll has not tried"
	case len(r.Problems) > 0:
		return r.Problems[0].Message
	default:
		return r.WaitsFor
	}
}

func (r row) fails() bool { return r.State == ledger.StatePaging || r.State == ledger.StateFailing }

// Marks returns the short facts before the note: number and class of failures, and the
// end of the hold.
func (r row) Marks() []string {
	var list []string
	if r.Work != nil {
		list = append(list, "at work since "+r.Work.Since.Format("2006-01-02 15:04 UTC"))
	}
	if r.fails() || r.State == ledger.StateDeleted && r.Failures > 0 {
		list = append(list, string(r.Class), fmt.Sprintf("failure %d in a row", r.Failures))
	}
	if len(r.Problems) > 0 && r.Note() == r.Problems[0].Message {
		list = append(list, string(r.Problems[0].Class))
	}
	if until := r.heldUntil(); until != nil && until.After(r.now) && r.Work == nil {
		list = append(list, "waits until "+until.UTC().Format("2006-01-02 15:04 UTC"))
	}
	return list
}

// heldUntil returns the end of a hold, from the plan or the record.
func (c *Certificate) heldUntil() *time.Time {
	switch {
	case c.Plan != nil && c.Plan.Until != nil:
		return c.Plan.Until
	case c.record != nil && c.record.Hold != nil:
		return &c.record.Hold.Until
	default:
		return nil
	}
}

// Chips returns the labels of a row, with URLs that filter by them.
func (r row) Chips() []total {
	list := make([]total, 0, len(r.Labels))
	for k, v := range r.Labels {
		by := k + "=" + v
		if strings.Contains(by, ",") {
			by = k // commas separate labels in a filter
		}
		list = append(list, total{Word: k + "=" + v, Href: Filter{Label: by}.Query()})
	}
	slices.SortFunc(list, func(a, b total) int { return strings.Compare(a.Word, b.Word) })
	return list
}
