package main

import (
	"context"
	"fmt"
	"strings"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/view"
	"certroll/spec/text"
)

// upgrade lists the blocks that new rules hold, and the lines of certroll.hcl that
// release them.
func (a *app) upgrade(ctx context.Context) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	rev, err := configrepo.Read(ctx, s, a.configDir)
	if err != nil {
		return err
	}
	desired, files, diags := configrepo.DecodeInForce(ctx, s, rev.Files)
	if diags.HasErrors() {
		view.Diagnostics(a.Err, a.Palette(), files, diags)
		return console.ExitCode(console.ExitError)
	}
	holds := desired.Holds()
	if len(holds) == 0 {
		fmt.Fprintln(a.Out, "Nothing would be held: the revision keeps all rules of this version.")
		return nil
	}
	names := map[string]bool{}
	for _, h := range holds {
		for _, c := range h.Certificates {
			names[c] = true
		}
		fmt.Fprintf(a.Out, "%s\n  %s\n  holds %s\n", text.Lines(h.Subject+" ("+h.Rule.Name+")"), text.Lines(h.Message), text.Lines(strings.Join(h.Certificates, ", ")))
	}
	fmt.Fprintf(a.Out, "\n%s would be held.\n", text.Counted(len(names), "certificate"))
	if lines := s.Allowances(holds); lines != "" {
		fmt.Fprintf(a.Out, "To allow these settings, add these lines to certroll.hcl:\n\n%s", lines)
	}
	return console.ExitCode(console.ExitError)
}
