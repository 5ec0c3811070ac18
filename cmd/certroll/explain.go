package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/proposal"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/plan"
	"certroll/spec/text"
)

func (a *app) explainCommand() *cobra.Command {
	var asJSON, verbose bool
	c := &cobra.Command{
		Use:   "explain NAME",
		Short: "Show why a certificate is, or is not, renewed now",
		Long: `Show what will happen with a certificate, when and why, then every rule in the
order of evaluation, with the values it used and whether it decides. A hold, a
limit of the CA or a failing issuer may delay what a rule decided. Changes
nothing. Like plan it reads only metadata from Vault, never a key.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.explain(cmd.Context(), args[0], asJSON, verbose)
		},
	}
	a.configDirFlag(c)
	c.Flags().BoolVar(&verbose, "verbose", false, "show the digests that rules compared")
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON (schema in docs/asking.md)")
	return c
}

func (a *app) explain(ctx context.Context, name string, asJSON, verbose bool) error {
	p, err := a.plan(ctx, proposal.Input{})
	if err != nil {
		return err
	}
	defer p.Close()
	i := slices.IndexFunc(p.Actions, func(action plan.Action) bool { return action.Certificate == name })
	if i < 0 {
		return fmt.Errorf("neither the spec nor the ledger has a certificate %q (certroll status lists all).%s", name, text.Meant(name, namesOf(p.Actions)))
	}
	// Without verdicts, the certificate left the spec: on_remove decides, not a rule.
	verdicts, _ := plan.Explain(p.Desired, p.Observed, p.At, name)
	dto := view.NewExplanation(p.Revision.Commit, p.At, verdicts, p.Actions[i])
	if asJSON {
		return view.JSON(a.Data(), dto)
	}
	view.WriteExplanation(a.Out, a.Palette(), dto, verbose)
	return nil
}

// namesOf returns the certificates of actions.
func namesOf(actions []plan.Action) []string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = a.Certificate
	}
	return names
}
