package view

import (
	"io"

	"certroll/spec/text"
)

// Edit is a change of the config repo.
type Edit struct {
	Subject string   // the first line of its commit message
	Commit  string   // "" if nothing was pushed
	Branch  string   // the branch that received the push
	From    string   // the branch that Branch was created from; "" if it existed
	Files   []string // written on this disk
}

// WriteEdit prints the result of a change, and the next step.
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
