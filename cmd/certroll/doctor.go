package main

import (
	"context"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
	"certroll/reconcile"
)

func (a *app) doctorCommand() *cobra.Command {
	var asJSON, noCanary bool
	c := &cobra.Command{
		Use:   "doctor [NAME...]",
		Short: "Look for what will make the next renewals fail",
		Long: `Look for what will make the next renewals fail, of all certificates or of some:
CAA records, the delegation of challenges, DNSSEC, and whether each DNS account
still works, which writes a TXT record and removes it again. Nothing is ordered.

Exits 1 where it found an error; warnings alone are 0.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.doctor(cmd.Context(), reconcile.ExamineOptions{Certificates: args, NoCanary: noCanary}, asJSON)
		},
	}
	a.configDirFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON (schema in docs/doctor.md)")
	c.Flags().BoolVar(&noCanary, "no-canary", false, "write nothing, and leave the DNS accounts' credentials alone")
	return c
}

func (a *app) doctor(ctx context.Context, o reconcile.ExamineOptions, asJSON bool) error {
	s, log, err := a.begin()
	if err != nil {
		return err
	}
	rev, err := a.revision(ctx, s)
	if err != nil {
		return err
	}
	desired, err := a.decode(s, rev.Files, view.Briefly)
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
	dto := view.NewExamination(rev.Commit, found)
	if asJSON {
		if err := view.JSON(a.out, dto); err != nil {
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
