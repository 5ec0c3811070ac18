package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/monitor"
	"certroll/reconcile/plan"
	"certroll/spec"
	"certroll/spec/text"
)

func (a *app) probeCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "probe [NAME...]",
		Short: "Check that endpoints serve the certificate stored in Vault",
		Long: `Check that the endpoints in probe serve the certificate stored in Vault, for all
certificates or some. Makes a TLS handshake with each address and sends no data.
Reads only metadata from Vault and writes nothing.

Exits 1 if an endpoint serves another certificate or does not answer; 0 also if a
renewal is so recent that its consumer may not have loaded it yet; and 3 if it
could not check.`,
		RunE: console.Looking(func(cmd *cobra.Command, args []string) error { return a.probe(cmd.Context(), args, asJSON) }),
	}
	a.configDirFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the results as JSON (schema in docs/probe.md)")
	return c
}

func (a *app) probe(ctx context.Context, names []string, asJSON bool) error {
	s, log, err := a.begin()
	if err != nil {
		return err
	}
	rev, err := configrepo.Read(ctx, s, a.configDir)
	if err != nil {
		return err
	}
	desired, err := a.decode(ctx, s, rev, view.Briefly)
	if err != nil {
		return err
	}
	if err := haveProbes(desired, names); err != nil {
		return err
	}
	p, err := a.connect(ctx, s, log, false, a.ProgressTo(a.Err, asJSON))
	if err != nil {
		return err
	}
	defer p.Close()
	observed, err := p.Reconciler.Observe(ctx, desired)
	if err != nil {
		return err
	}
	looks, err := monitor.Probe(ctx, p.Reconciler, s.Prober(), plan.New(desired, observed, time.Now()).Actions, s.Probe.After, names)
	if err != nil {
		return err
	}
	dto := view.NewProbed(rev.Commit, looks)
	if asJSON {
		if err := view.JSON(a.Data(), dto); err != nil {
			return err
		}
	} else {
		view.WriteProbed(a.Out, a.Palette(), dto)
	}
	if dto.Problems > 0 {
		return console.ExitCode(console.ExitError)
	}
	return nil
}

// haveProbes checks that the named certificates exist and have endpoints.
func haveProbes(desired *spec.Spec, names []string) error {
	for _, name := range names {
		switch c := desired.Certificate(name); {
		case c == nil:
			return fmt.Errorf("probing %q: the config repo declares no certificate of this name.%s", name, text.Meant(name, desired.Names()))
		case len(c.Probes) == 0:
			return fmt.Errorf("probing %q: it names no endpoints; add probe = [\"HOST:PORT\"] to its block", name)
		}
	}
	return nil
}
