package statuspage

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// StatusPage renders STATUS.md: certificates that page first, then failing ones, then those
// with renewal off. It contains dates and no durations relative to now, so that the file
// changes only with the records.
func StatusPage(records map[string]*ledger.Record, problems *ledger.Problems) []byte {
	list := inOrder(records)
	var b strings.Builder
	b.WriteString("# Certificates\n\n")
	b.WriteString(CountRecords(records).String() + ".\n\n")
	b.WriteString("| certificate | state | names | expires | renews | issuer | Vault | what it waits for |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, r := range list[:min(MostRows, len(list))] {
		b.WriteString(statusRow(r))
	}
	if left := len(list) - MostRows; left > 0 {
		fmt.Fprintf(&b, "\nAnd %d more, in `certificates/`. Of those in order the table has the ones that expire first.\n", left)
	}
	b.WriteString(whatFails(list))
	b.WriteString(whatIsServed(problems))
	b.WriteString(whatIsLeftBehind(list))
	b.WriteString("\nWritten by certroll. The records are in `certificates/`, the history is in `audit/`.\n")
	return []byte(b.String())
}

// MostRows bounds the table. Git hosts do not render pages with many thousands of rows, and
// each commit stores the whole page.
const MostRows = 500

// inOrder sorts the records for the table: by problem, then by name. If there are too many,
// the first to expire come first.
func inOrder(records map[string]*ledger.Record) []*ledger.Record {
	// Sorting by expiry would reorder rows with every renewal. It is worth that only if the
	// table cannot show all records.
	expiry := func(*ledger.Record, *ledger.Record) int { return 0 }
	if len(records) > MostRows {
		expiry = func(a, b *ledger.Record) int { return notAfter(a).Compare(notAfter(b)) }
	}
	return slices.SortedFunc(maps.Values(records), func(a, b *ledger.Record) int {
		return cmp.Or(pageRank(a)-pageRank(b), expiry(a, b), strings.Compare(a.Certificate, b.Certificate))
	})
}

// notAfter returns the end of the live certificate; zero if nothing is live.
func notAfter(r *ledger.Record) time.Time {
	if r.Live == nil {
		return time.Time{}
	}
	return r.Live.End()
}

// Count is the number of certificates in each state.
type Count struct {
	Live      int // includes the unmanaged ones
	Unmanaged int
	Failing   int // includes the paging ones
	Paging    int
	Retired   int
}

// CountRecords counts records. Like STATUS.md it uses no clock: a pause ends once a run has
// recorded that.
func CountRecords(records map[string]*ledger.Record) Count {
	var c Count
	for _, r := range records {
		switch r.State {
		case ledger.StateLive:
			c.Live++
			if r.Unmanaged != nil {
				c.Unmanaged++
			}
		case ledger.StateFailing:
			c.Failing++
			if r.Severity == ledger.SeverityPage {
				c.Paging++
			}
		case ledger.StateRetired:
			c.Retired++
		}
	}
	return c
}

func (c Count) String() string {
	among := func(n int, what string) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf(" (%d %s)", n, what)
	}
	return fmt.Sprintf("%d live%s, %d failing%s, %d retired", c.Live, among(c.Unmanaged, "unmanaged"), c.Failing, among(c.Paging, "paging"), c.Retired)
}

// pageRank returns the group of a record in the table, the most urgent first.
func pageRank(r *ledger.Record) int {
	switch r.WithoutClock() {
	case ledger.StateRevoked, ledger.StateDeleted, ledger.StatePaging:
		return 0
	case ledger.StateFailing:
		return 1
	case ledger.StateUnmanaged:
		return 2
	case ledger.StateRetired:
		return 4
	default:
		return 3
	}
}

// stateCell returns the state for the table, with problems in bold.
func stateCell(r *ledger.Record) string {
	switch s := r.WithoutClock(); s {
	case ledger.StateRevoked, ledger.StateDeleted:
		return "**" + s.Word() + ", page**"
	case ledger.StatePaging:
		return "**failing, page**"
	case ledger.StateUnmanaged:
		return s.Word()
	default:
		return Cell(string(r.State))
	}
}

// statusRow renders the row of a record. Each cell from the ledger passes Cell, because anyone
// with push access may have written it.
func statusRow(r *ledger.Record) string {
	expires, renews, issuer, where := "-", "-", "", ""
	if l := r.Live; l != nil {
		expires = l.End().UTC().Format(time.DateOnly)
		issuer = l.Issuer
		where = fmt.Sprintf("%s/%s v%d", l.Mount, l.Path, l.Version)
	}
	if r.RenewAt != nil {
		renews = r.RenewAt.UTC().Format(time.DateOnly)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |\n",
		nameCell(r), stateCell(r), Cell(text.Some(r.Names, 3)), expires, renews, dash(issuer), dash(where), Cell(waitsCell(r)))
}

// nameCell returns the name with a link to the record. A name that no certificate may have
// could end the link.
func nameCell(r *ledger.Record) string {
	if !r.Belongs(r.Certificate + ".json") {
		return Cell(r.Certificate)
	}
	return fmt.Sprintf("[%s](%s)", r.Certificate, ledger.RecordFile(r.Certificate))
}

// dash returns a cell, or a dash if it is empty.
func dash(s string) string { return cmp.Or(Cell(s), "-") }

// A message longer than longestWait follows below the table, for at most mostFailing
// certificates.
const (
	longestWait = 120
	mostFailing = 50
)

// followsBelow reports whether a failure's message is too long for the table.
func followsBelow(r *ledger.Record) bool {
	return r.State == ledger.StateFailing && r.LastFailure != nil && len(r.WaitsFor()) > longestWait
}

// waitsCell returns the obstacle to a renewal, without a message that follows below the
// table.
func waitsCell(r *ledger.Record) string {
	waits := r.WaitsFor()
	if !followsBelow(r) {
		return waits
	}
	// The hold's reason usually ends with the message.
	short := strings.TrimSuffix(waits, r.LastFailure.Message)
	if short == "" || short == waits {
		return "failed (" + string(r.LastFailure.Class) + "), see below"
	}
	return strings.TrimSuffix(short, ": ") + ", see below"
}

// whatFails lists the messages that are too long for the table.
func whatFails(list []*ledger.Record) string {
	var b strings.Builder
	shown, left := 0, 0
	for _, r := range list {
		switch {
		case !followsBelow(r):
		case shown == mostFailing:
			left++
		default:
			shown++
			f := r.LastFailure
			fmt.Fprintf(&b, "\n- **%s**, %s at %s: %s\n", Cell(r.Certificate), Cell(string(f.Class)), f.At.UTC().Format(time.RFC3339), paragraph(f.Message))
		}
	}
	if shown == 0 {
		return ""
	}
	if left > 0 {
		fmt.Fprintf(&b, "\nAnd %d more, see their records.\n", left)
	}
	return "\n## What fails\n" + b.String()
}

// whatIsServed lists the open problems of probes.
func whatIsServed(problems *ledger.Problems) string {
	var b strings.Builder
	shown, left := 0, 0
	for _, p := range problems.Served("") {
		if shown == mostFailing {
			left++
			continue
		}
		shown++
		fmt.Fprintf(&b, "\n- **%s**, %s since %s: %s\n", Cell(p.Certificates[0]), Cell(string(p.Class)), text.Stamp(p.Since), paragraph(p.Message))
	}
	if shown == 0 {
		return ""
	}
	if left > 0 {
		fmt.Fprintf(&b, "\nAnd %d more, see `doctor.json`.\n", left)
	}
	return "\n## What is served\n" + b.String()
}

// whatIsLeftBehind lists the secrets at former locations.
func whatIsLeftBehind(list []*ledger.Record) string {
	var b strings.Builder
	shown, more := 0, 0
	for _, r := range list {
		for _, text := range r.LeftText() {
			if shown == mostFailing {
				more++
				continue
			}
			shown++
			fmt.Fprintf(&b, "\n- **%s**: %s\n", Cell(r.Certificate), paragraph(text))
		}
	}
	if shown == 0 {
		return ""
	}
	if more > 0 {
		fmt.Fprintf(&b, "\nAnd %d more, see the records.\n", more)
	}
	return "\n## Left behind\n" + b.String()
}

// paragraph formats a text for a paragraph of Markdown. Anyone with push access to the
// ledger's branch may have written the text.
func paragraph(s string) string { return text.Prose(s, mostParagraph) }

// mostParagraph bounds one message, in characters.
const mostParagraph = 4000

// Cell formats a text for a cell of a Markdown table.
func Cell(s string) string {
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return text.Prose(s, 300)
}
