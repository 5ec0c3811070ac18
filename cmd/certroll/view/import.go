package view

import (
	"io"
	"strings"
	"time"

	"certroll/spec/text"
)

// ImportSchema is the version of the JSON of import.
const ImportSchema = 1

// Import is the result of an import of existing certificates. Arrays are never null.
type Import struct {
	Schema       int        `json:"schema"`
	Tool         string     `json:"tool"`
	DryRun       bool       `json:"dry_run"`
	Certificates []Imported `json:"certificates"`
	Notes        []string   `json:"notes"` // on the whole import
	FillIn       []FillIn   `json:"fill_in"`
	Allow        string     `json:"allow"` // the lines that certroll.hcl needs before it accepts the HCL; "" for none
	Taken        int        `json:"taken"`
	There        int        `json:"there"`
	Left         int        `json:"left"`
	File         string     `json:"file"` // the file with the HCL; "" for none
	HCL          string     `json:"hcl"`
}

// Imported is one certificate of an import.
type Imported struct {
	Name     string    `json:"name"`  // the other tool's name
	Block    string    `json:"block"` // the certificate block in the HCL; "" for none
	From     string    `json:"from"`
	Outcome  string    `json:"outcome"` // taken, there, left
	Why      string    `json:"why"`     // for there and left
	Vault    string    `json:"vault"`
	Names    []string  `json:"names"`
	Key      string    `json:"key"`
	Serial   string    `json:"serial"`
	NotAfter time.Time `json:"not_after,omitzero"`
	Notes    []string  `json:"notes"` // changed or lost settings
}

// FillIn is a line of the HCL that a person must complete.
type FillIn struct {
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Count computes the totals and finds the lines to complete.
func (i *Import) Count(mark string) {
	for _, c := range i.Certificates {
		switch c.Outcome {
		case "taken":
			i.Taken++
		case "there":
			i.There++
		default:
			i.Left++
		}
	}
	i.FillIn = []FillIn{}
	n := 0
	for line := range strings.Lines(i.HCL) {
		n++
		if _, text, ok := strings.Cut(line, "# "+mark); ok {
			i.FillIn = append(i.FillIn, FillIn{n, strings.TrimSpace(text)})
		}
	}
}

// WriteImport prints an import as text.
func WriteImport(w io.Writer, p Palette, i Import) {
	out := printer{w}
	for _, c := range i.Certificates {
		out.imported(c, p, i.DryRun)
	}
	for _, n := range i.Notes {
		out.f("%s\n", wrap(text.Line("Note: "+n), textWidth))
	}
	if len(i.Notes) > 0 {
		out.f("\n")
	}
	if len(i.FillIn) > 0 {
		out.f("%s\n", p.bold("To fill in:"))
		for _, f := range i.FillIn {
			out.f("%s\n", indent(wrap(sprint("line %d: %s", f.Line, f.Text), textWidth), "  "))
		}
		out.f("\n")
	}
	if i.Allow != "" {
		out.f("%s\n%s\n\n", p.bold("Write into certroll.hcl before you commit the HCL:"), indent(strings.TrimSuffix(i.Allow, "\n"), "  "))
	}
	sum := "Import:"
	if i.DryRun {
		sum = "Import, dry run (nothing was written):"
	}
	out.f("%s %d to be adopted, %d there already, %d left behind.\n", p.bold(sum), i.Taken, i.There, i.Left)
	if i.File != "" {
		out.f("The HCL is in %s. Replace each FILL IN, commit the file, and check that certroll plan shows \"will be adopted\".\n", i.File)
	}
}

func (p printer) imported(c Imported, paint Palette, dry bool) {
	switch c.Outcome {
	case "left":
		p.f("%s %s  is left behind\n", paint.red("!"), paint.bold(c.Name))
	case "there":
		p.f("%s %s  is there already\n", paint.dim("="), paint.bold(c.Name))
	default:
		verb := "is taken over"
		if dry {
			verb = "would be taken over"
		}
		p.f("%s %s  %s\n", paint.green("+"), paint.bold(c.Name), verb)
	}
	row := func(name, value string) {
		if value != "" {
			text := strings.ReplaceAll(wrap(text.Line(value), 84), "\n", "\n"+strings.Repeat(" ", 12))
			p.f("    %-7s %s\n", name, text)
		}
	}
	row("from", c.From)
	row("names", text.Some(c.Names, 6))
	if c.Key != "" {
		row("key", sprint("%s, until %s", c.Key, c.NotAfter.UTC().Format(time.DateOnly)))
	}
	row("vault", c.Vault)
	row("why", c.Why)
	for _, n := range c.Notes {
		row("note", n)
	}
	p.f("\n")
}
