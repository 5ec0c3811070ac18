package view

import (
	"io"
	"text/tabwriter"
	"time"

	"certroll/reconcile/ledger"
	"certroll/reconcile/monitor"
	"certroll/spec/text"
)

// ProbedSchema is the version of the JSON of probe.
const ProbedSchema = 1

// Probed is the result of probing endpoints. Arrays are never null.
type Probed struct {
	Schema   int              `json:"schema"`
	Revision string           `json:"revision"` // "" for a plain directory outside Git
	Problems int              `json:"problems"` // number of endpoints that need a person
	Looks    []monitor.Result `json:"looks"`    // by certificate and endpoint
}

// NewProbed builds the view of probe results.
func NewProbed(revision string, looks []monitor.Result) Probed {
	p := Probed{Schema: ProbedSchema, Revision: revision, Looks: append([]monitor.Result{}, looks...)}
	for _, l := range looks {
		if l.Verdict.Problem() {
			p.Problems++
		}
	}
	return p
}

// WriteProbed prints one line per endpoint, then the problems.
func WriteProbed(w io.Writer, p Palette, d Probed) {
	if len(d.Looks) == 0 {
		printer{w}.f("No certificate names an endpoint: add probe = [\"HOST:PORT\"] to its block.\n")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	out := printer{tw}
	out.f("CERTIFICATE\tENDPOINT\tSERVES\tSERIAL\tEXPIRES\n")
	for _, l := range d.Looks {
		serial, expires := "-", "-"
		if l.NotAfter != nil {
			serial, expires = l.Serial, l.NotAfter.UTC().Format(time.DateOnly)
		}
		out.f("%s\t%s\t%s\t%s\t%s\n", text.Line(l.Certificate), text.Line(l.Endpoint), l.Verdict, serial, expires)
	}
	_ = tw.Flush()
	out = printer{w}
	for _, l := range d.Looks {
		if l.Message == "" {
			continue
		}
		head := p.cyan("Note:")
		if l.Verdict.Problem() {
			head = p.red("Error:")
		}
		out.f("\n%s %s (%s)\n%s\n", head, p.bold(l.Certificate), l.Verdict, indent(wrap(l.Message, textWidth), "  "))
		if l.Advice != "" {
			out.f("  %s\n%s\n", p.dim("what to do"), indent(wrap(l.Advice, 92), "    "))
		}
	}
	if d.Problems == 0 {
		out.f("\n%s %s checked.\n", p.green("ok"), text.Counted(len(d.Looks), "endpoint"))
		return
	}
	out.f("\n%s %s checked: %s.\n", p.bold("Probe:"), text.Counted(len(d.Looks), "endpoint"), text.Counted(d.Problems, "problem"))
}

// WriteServed prints the endpoints with open problems in the ledger.
func WriteServed(w io.Writer, p Palette, problems []ledger.Problem) {
	if len(problems) == 0 {
		return
	}
	out := printer{w}
	out.f("\n%s\n", p.bold("What is served"))
	for _, one := range problems {
		out.f("  %s  %s, since %s\n%s\n", one.Certificates[0], p.red(string(one.Class)), text.Stamp(one.Since), indent(wrap(one.Message, 90), "    "))
	}
}
