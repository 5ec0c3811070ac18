package view

import (
	"io"

	"certroll/spec/text"
)

// WriteNotifyTest prints the result of a test message.
func WriteNotifyTest(w io.Writer, p Palette, name string, err error) {
	if err != nil {
		printer{w}.f("%s %s: %s\n", p.red("!"), p.bold(name), text.Line(err.Error()))
		return
	}
	printer{w}.f("%s %s: it took the message\n", p.green("+"), p.bold(name))
}
