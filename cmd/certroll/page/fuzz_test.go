package page

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"certroll/reconcile/ledger"
)

// FuzzPage: for any record in the ledger the page renders, and shows the record's values as text.
func FuzzPage(f *testing.F) {
	for _, r := range ten().Records {
		if r.LastFailure != nil {
			r.LastFailure.Message = hostile
		}
		b, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, 0)
		f.Add(b, 24*365)
	}
	f.Fuzz(func(t *testing.T, record []byte, hours int) {
		r, err := ledger.UnmarshalRecord(record)
		if err != nil {
			return
		}
		p := New(Input{Records: []*ledger.Record{r}}, noon.Add(time.Duration(hours%100_000)*time.Hour))
		index, one := p.index(layout{}, Filter{}), p.detail(layout{Root: "../"}, p.Certificates[0], History{})
		for name, view := range map[string]any{"index.html": &index, "certificate.html": &one} {
			var b strings.Builder
			if err := render(&b, name, view); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(b.String(), "<script"); n != 1 || strings.Contains(b.String(), "\u202e") {
				t.Errorf("%s has %d scripts, or what cannot be seen:\n%s", name, n, b.String())
			}
		}
		if _, err := json.Marshal(p.Status(Filter{})); err != nil {
			t.Error(err)
		}
	})
}
