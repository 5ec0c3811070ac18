package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

func etag(b []byte) string {
	sum := sha256.Sum256(b)
	return strconv.Quote(hex.EncodeToString(sum[:8]))
}

// pageName returns the file of the nth page of all certificates.
func pageName(n int) string {
	if n == 1 {
		return "index.html"
	}
	return fmt.Sprintf("page-%d.html", n)
}

// fileName returns the file of a certificate's page: one path segment for any name.
func fileName(name string) string { return url.PathEscape(name) + ".html" }

// entry is one certificate in the index that the files' script searches.
type entry struct {
	Name    string       `json:"n"`
	State   ledger.State `json:"s"`
	Word    string       `json:"w"`
	Issuer  string       `json:"i"`
	Expires *time.Time   `json:"x"`
	Href    string       `json:"h"`
	Text    string       `json:"t"`
}

// Histories returns the histories of all certificates, given all events of the log.
func (p *Page) Histories(events []ledger.Event) func(certificate string) History {
	byName := map[string][]ledger.Event{}
	for _, e := range events {
		byName[e.Certificate] = append(byName[e.Certificate], e)
	}
	return func(certificate string) History {
		list := slices.Clone(byName[certificate])
		if c := p.byName[certificate]; c != nil && c.record != nil {
			list = c.record.History(byName)
		}
		slices.Reverse(list)
		slices.SortStableFunc(list, func(a, b ledger.Event) int { return b.Time.Compare(a.Time) })
		n := min(mostEvents, len(list))
		return History{Events: list[:n], More: n < len(list)}
	}
}

// Files writes all files of the static page, the first page last, so that a visitor
// meanwhile finds the pages that it links to.
func (p *Page) Files(history func(certificate string) History, write func(name string, b []byte) error) error {
	for _, name := range slices.Sorted(maps.Keys(assets)) {
		if err := write(name, assets[name]); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	one := func(name, file string, view any) error {
		b.Reset()
		if err := render(&b, name, view); err != nil {
			return fmt.Errorf("rendering %s: %w", file, err)
		}
		return write(file, b.Bytes())
	}
	index := []entry{}
	for _, c := range p.Certificates {
		v := p.detail(layout{Root: "../", Static: true}, c, history(c.Name))
		if err := one("certificate.html", "certificates/"+fileName(c.Name), &v); err != nil {
			return err
		}
		index = append(index, entry{text.Line(c.Name), c.State, c.State.Word(), text.Line(c.Issuer), c.NotAfter, layout{Static: true}.Way(c.Name), c.text})
	}
	for _, data := range []struct {
		name string
		v    any
	}{{"status.json", p.Status(Filter{})}, {"search.json", index}} {
		b, err := json.Marshal(data.v)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", data.name, err)
		}
		if err := write(data.name, append(text.JSON(b), '\n')); err != nil {
			return err
		}
	}
	for n := p.index(layout{Static: true}, Filter{}).Pages; n >= 1; n-- {
		v := p.index(layout{Static: true}, Filter{Page: n})
		if err := one("index.html", pageName(n), &v); err != nil {
			return err
		}
	}
	return nil
}
