package page

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"certroll/reconcile/ledger"
)

// Filter selects and orders the displayed certificates; the zero value shows all, worst
// first. It is the query part of the URL.
type Filter struct {
	Text   string // words that must all occur
	Label  string // "key=value" or "key", separated by commas
	Team   string
	Issuer string
	State  ledger.State
	Action string // "any", or a kind of action
	Sort   string // "", "name", "issuer", "renews" or "expires"
	Page   int    // from 1
}

// AnyAction selects the certificates with a planned action.
const AnyAction = "any"

// ParseFilter parses a URL's query. It ignores unknown values.
func ParseFilter(v url.Values) Filter {
	get := func(key string) string { return strings.TrimSpace(v.Get(key)) }
	f := Filter{Text: get("q"), Label: strings.Trim(strings.Join(v["label"], ","), ", "), Team: get("team"), Issuer: get("issuer"),
		State: ledger.State(get("state")), Action: get("action"), Sort: get("sort")}
	if _, ok := orders[f.Sort]; !ok {
		f.Sort = ""
	}
	f.Page, _ = strconv.Atoi(get("page"))
	f.Page = max(1, f.Page)
	return f
}

// Query returns the filter as a URL's query; "?" for all.
func (f Filter) Query() string {
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	set("q", f.Text)
	set("label", f.Label)
	set("team", f.Team)
	set("issuer", f.Issuer)
	set("state", string(f.State))
	set("action", f.Action)
	set("sort", f.Sort)
	if f.Page > 1 {
		set("page", strconv.Itoa(f.Page))
	}
	return "?" + v.Encode()
}

// narrows reports whether the filter excludes anything.
func (f Filter) narrows() bool {
	f.Sort, f.Page = "", 1
	return f != Filter{Page: 1}
}

// orders are the sort orders, by their name in the URL.
var orders = map[string]func(a, b *Certificate) int{
	"":        nil, // unchanged: worst first
	"name":    func(a, b *Certificate) int { return cmp.Compare(a.Name, b.Name) },
	"issuer":  func(a, b *Certificate) int { return cmp.Or(cmp.Compare(a.Issuer, b.Issuer), worstFirst(a, b)) },
	"renews":  func(a, b *Certificate) int { return cmp.Or(byTime(a.RenewAt, b.RenewAt, 1), worstFirst(a, b)) },
	"expires": func(a, b *Certificate) int { return cmp.Or(byTime(a.NotAfter, b.NotAfter, 1), worstFirst(a, b)) },
}

// Pick returns the filter's certificates in its order, and the number in each state
// without the filter's own state.
func (p *Page) Pick(f Filter) (picked []*Certificate, totals map[ledger.State]int) {
	m := newMatcher(f)
	totals = map[ledger.State]int{}
	picked = []*Certificate{}
	for _, c := range p.Certificates {
		if !m.matches(c) {
			continue
		}
		totals[c.State]++
		if f.State == "" || c.State == f.State {
			picked = append(picked, c)
		}
	}
	if order := orders[f.Sort]; order != nil {
		slices.SortFunc(picked, order)
	}
	return picked, totals
}

type matcher struct {
	Filter
	words  []string
	labels []label
}

type label struct {
	key, value string
	any        bool // any value
}

// mostParts bounds the words and the labels of a filter: each is searched for in every
// certificate.
const mostParts = 64

func newMatcher(f Filter) *matcher {
	m := &matcher{Filter: f, words: distinct(strings.Fields(strings.ToLower(f.Text)))}
	for _, l := range distinct(strings.Split(f.Label, ",")) {
		if key, value, exact := strings.Cut(strings.TrimSpace(l), "="); key != "" {
			m.labels = append(m.labels, label{key, value, !exact})
		}
	}
	return m
}

// distinct returns the parts of a filter without duplicates, up to mostParts.
func distinct(parts []string) []string {
	slices.Sort(parts)
	parts = slices.Compact(parts)
	return parts[:min(mostParts, len(parts))]
}

// matches checks everything but the state.
func (m *matcher) matches(c *Certificate) bool {
	if m.Team != "" && c.Team() != m.Team || m.Issuer != "" && c.Issuer != m.Issuer || !m.acts(c.Plan) {
		return false
	}
	for _, w := range m.words {
		if !strings.Contains(c.text, w) {
			return false
		}
	}
	for _, l := range m.labels {
		if v, ok := c.Labels[l.key]; !ok || !l.any && v != l.value {
			return false
		}
	}
	return true
}

func (m *matcher) acts(p *Planned) bool {
	return m.Action == "" || p != nil && (m.Action == AnyAction || m.Action == string(p.Kind))
}
