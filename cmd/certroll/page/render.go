package page

import (
	"embed"
	"html/template"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

//go:embed assets
var embedded embed.FS

// assets are the files beside the pages, by name.
var assets = func() map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{"page.css", "page.js", "icon.svg"} {
		b, err := fs.ReadFile(embedded, "assets/"+name)
		if err != nil {
			panic(err) // not compiled in
		}
		files[name] = b
	}
	return files
}()

// templates are the page's templates. html/template escapes all text from outside;
// text.Lines replaces invisible characters.
var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"date":    func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"stamp":   stamp,
	"machine": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"short":   short,
	"words":   words,
	"clip":    clip,
	"dist":    distance,
	"until":   until,
	"passing": passing,
	"join":    strings.Join,
	"first":   func(n int, list []string) []string { return list[:min(n, len(list))] },
	"less":    func(a, b int) int { return a - b },
	"number":  number,
	"spaced":  spaced,
	"states":  func() []ledger.State { return ledger.States },
	"at":      func(h interface{ moment() time.Time }, t any) moment { return moment{timeOf(t), h.moment()} },
	"marked":  func(s ledger.State, b bar) marked { return marked{s, b} },
}).ParseFS(embedded, "assets/*.html"))

func render(w io.Writer, name string, view any) error {
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, name, view); err != nil {
		return err
	}
	_, err := io.WriteString(w, text.Lines(b.String()))
	return err
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// short returns the beginning of a hash.
func short(s string) string { return s[:min(12, len(s))] }

// words formats an identifier of the ledger for people.
func words(v any) string {
	var s string
	switch v := v.(type) {
	case ledger.Kind:
		s = string(v)
	case ledger.Reason:
		if s = string(v); v == ledger.ReasonMissing {
			s = "new"
		}
	case ledger.Status:
		s = string(v)
	case ledger.State:
		return v.Word()
	}
	return strings.ReplaceAll(s, "_", " ")
}

// clip cuts a text to n runes.
func clip(n int, s string) string {
	if runes := []rune(s); len(runes) > n {
		return strings.TrimSpace(string(runes[:n])) + " …"
	}
	return s
}

// number groups digits by three.
func number(n int) string {
	s := ""
	for ; n >= 1000; n /= 1000 {
		s = "," + string([]byte{'0' + byte(n/100%10), '0' + byte(n/10%10), '0' + byte(n%10)}) + s
	}
	return strconv.Itoa(n) + s
}

// spaced groups a long hexadecimal number by four.
func spaced(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// moment is a time together with the page's time.
type moment struct{ T, Now time.Time }

func (p *Page) moment() time.Time { return p.Now }

// timeOf returns a template's time or pointer to one.
func timeOf(v any) time.Time {
	if t, ok := v.(*time.Time); ok {
		return *t
	}
	t, _ := v.(time.Time)
	return t
}

// marked is a time line with the state that colours it.
type marked struct {
	State ledger.State
	Bar   bar
}
