package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// statusPage renders STATUS.md, failures first. It holds dates and never
// distances from now, so that it changes only when something happened.
func statusPage(records map[string]*Record) []byte {
	list := make([]*Record, 0, len(records))
	count := map[State]int{}
	for _, r := range records {
		list = append(list, r)
		count[r.State]++
	}
	rank := map[State]int{StateFailing: 0, StateLive: 1, StateRetired: 2}
	slices.SortFunc(list, func(a, b *Record) int {
		if d := rank[a.State] - rank[b.State]; d != 0 {
			return d
		}
		return strings.Compare(a.Certificate, b.Certificate)
	})
	var b strings.Builder
	b.WriteString("# Certificates\n\n")
	fmt.Fprintf(&b, "%d live, %d failing, %d retired.\n\n", count[StateLive], count[StateFailing], count[StateRetired])
	b.WriteString("| certificate | state | names | expires | renews | issuer | Vault | what it waits for |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, r := range list {
		b.WriteString(statusRow(r))
	}
	b.WriteString("\nWritten by certroll. The records are in `certificates/`, the history is in `audit/`.\n")
	return []byte(b.String())
}

func statusRow(r *Record) string {
	expires, renews, issuer, where := "-", "-", "-", "-"
	if l := r.Live; l != nil {
		expires = l.NotAfter.UTC().Format(time.DateOnly)
		issuer = l.Issuer
		where = fmt.Sprintf("%s/%s v%d", l.Mount, l.Path, l.Version)
	}
	if r.RenewAt != nil {
		renews = r.RenewAt.UTC().Format(time.DateOnly)
	}
	waits := ""
	if r.Hold != nil {
		waits = "until " + r.Hold.Until.UTC().Format(time.RFC3339) + ": " + r.Hold.Reason
	} else if r.LastFailure != nil {
		waits = r.LastFailure.Message
	}
	return fmt.Sprintf("| [%s](certificates/%s.json) | %s | %s | %s | %s | %s | %s | %s |\n",
		cell(r.Certificate), cell(r.Certificate), r.State, cell(shortNames(r.Names)), expires, renews, cell(issuer), cell(where), cell(waits))
}

func shortNames(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

var cellText = strings.NewReplacer("|", "\\|", "\n", " ", "\r", " ", "<", "&lt;", "*", "\\*", "`", "'")

// cell makes a text safe for one cell of a Markdown table.
func cell(s string) string {
	s = cellText.Replace(s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + " ..."
	}
	return s
}
