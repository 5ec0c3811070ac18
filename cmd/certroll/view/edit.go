package view

import (
	"io"

	"certroll/spec/text"
)

// Edit is a change of the config repo.
type Edit struct {
	Subject string   // the first line of its commit
	Commit  string   // "" where nothing was pushed
	Branch  string   // that it was pushed to
	From    string   // the branch that Branch was made from; "" where it was there
	Files   []string // that were written on this disk
}

// WriteEdit prints what became of a change, and what comes next.
func WriteEdit(w io.Writer, p Palette, e Edit) {
	out := printer{w}
	for _, f := range e.Files {
		out.f("%s %s\n", p.bold("Edited"), text.Line(f))
	}
	switch {
	case e.Commit == "":
	case e.From == "":
		out.f("%s %s to %s: %s\nThe next apply does it, and so does certroll run with its next pull.\n", p.bold("Pushed"), e.Commit[:12], text.Line(e.Branch), text.Line(e.Subject))
	default:
		out.f("%s %s to the new branch %s: %s\nOpen a pull request from %[3]s to %[5]s.\n", p.bold("Pushed"), e.Commit[:12], text.Line(e.Branch), text.Line(e.Subject), text.Line(e.From))
	}
}
