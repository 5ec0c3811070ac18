package main

import (
	"context"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
	"certroll/reconcile"
	"certroll/reconcile/acme"
)

func (a *app) doctorCommand() *cobra.Command {
	var asJSON, noCanary, upgrade bool
	c := &cobra.Command{
		Use:   "doctor [NAME...]",
		Short: "Look for what will make the next renewals fail",
		Long: `Look for what will make the next renewals fail, of all certificates or of some:
CAA records, the delegation of challenges, DNSSEC, and whether each DNS account
still works, which writes a TXT record and removes it again. And for what an apply
needs: what the token may do in Vault, whether the ledger takes a push, account
bindings, destinations of notifications, the clock, the disk. Nothing is ordered.

With --upgrade it asks neither Vault, DNS nor a CA, and lists the certificates that
the rules of this version would hold, with the lines for certroll.hcl that allow
what they use. Run it with the new version before an upgrade.

Exits 1 where it found an error, or where something would be held, 3 where it could
not look; warnings alone are 0.`,
		RunE: looking(func(cmd *cobra.Command, args []string) error {
			if upgrade {
				return a.upgrade(cmd.Context())
			}
			return a.doctor(cmd.Context(), reconcile.ExamineOptions{Certificates: args, NoCanary: noCanary}, asJSON)
		}),
	}
	a.configDirFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON (schema in docs/doctor.md)")
	c.Flags().BoolVar(&upgrade, "upgrade", false, "list what the rules of this version would hold, and how to allow it")
	c.MarkFlagsMutuallyExclusive("upgrade", "json")
	c.Flags().BoolVar(&noCanary, "no-canary", false, "write nothing, and leave the DNS accounts' credentials alone")
	return c
}

func (a *app) doctor(ctx context.Context, o reconcile.ExamineOptions, asJSON bool) error {
	s, log, err := a.begin()
	if err != nil {
		return err
	}
	if err := acme.CheckProgram(ctx, nil, release); err != nil {
		return err
	}
	rev, err := a.revision(ctx, s)
	if err != nil {
		return err
	}
	desired, err := a.decode(ctx, s, rev, view.Briefly)
	if err != nil {
		return err
	}
	p, err := a.connect(ctx, s, log, false, a.progressTo(a.err, asJSON))
	if err != nil {
		return err
	}
	defer p.Close()
	found, err := p.reconciler.Examine(ctx, desired, o)
	if err != nil {
		return err
	}
	check := &premises{app: a, parts: p, s: s, desired: desired, only: o.Certificates}
	found.Add(check.check(ctx))
	dto := view.NewExamination(rev.Commit, found)
	if asJSON {
		if err := view.JSON(a.data(), dto); err != nil {
			return err
		}
	} else {
		view.WriteExamination(a.out, a.palette(), dto)
	}
	if dto.Errors > 0 || dto.Incomplete {
		return exitCode(exitError)
	}
	return nil
}
