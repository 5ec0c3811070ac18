package main

import (
	"context"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/premises"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	var asJSON, noCanary, upgrade bool
	c := &cobra.Command{
		Use:   "doctor [NAME...]",
		Short: "Find problems that will make the next renewals fail",
		Long: `Find problems that will make the next renewals fail, for all certificates or some:
CAA records, the delegation of challenges, DNSSEC, and each DNS account (doctor
writes a TXT record and removes it again). Also checks what apply needs: the rights
of the Vault token, a push to the ledger, account bindings, destinations of
notifications, the clock and the disk. Orders nothing.

With --upgrade it contacts neither Vault, DNS nor a CA. It lists the certificates
that the rules of this version would hold, with the lines for certroll.hcl that
allow them. Run it with the new version before an upgrade.

Exits 1 if it found an error or a certificate would be held, 3 if it could not
check; 0 with warnings only.`,
		RunE: console.Looking(func(cmd *cobra.Command, args []string) error {
			if upgrade {
				return a.upgrade(cmd.Context())
			}
			return a.doctor(cmd.Context(), doctor.ExamineOptions{Certificates: args, NoCanary: noCanary}, asJSON)
		}),
	}
	a.configDirFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON (schema in docs/doctor.md)")
	c.Flags().BoolVar(&upgrade, "upgrade", false, "list the certificates that the rules of this version would hold, and how to allow them")
	c.MarkFlagsMutuallyExclusive("upgrade", "json")
	c.Flags().BoolVar(&noCanary, "no-canary", false, "do not test the DNS accounts: write no TXT record, read no credentials")
	return c
}

func (a *app) doctor(ctx context.Context, o doctor.ExamineOptions, asJSON bool) error {
	s, log, err := a.begin()
	if err != nil {
		return err
	}
	if err := dnsprovider.CheckProgram(ctx, nil, release); err != nil {
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
	p, err := a.connect(ctx, s, log, false, a.ProgressTo(a.Err, asJSON))
	if err != nil {
		return err
	}
	defer p.Close()
	found, err := doctor.Examine(ctx, p.Reconciler, desired, o)
	if err != nil {
		return err
	}
	check := premises.New(p, s, &a.redact, desired, o.Certificates)
	found.Add(check.Check(ctx))
	dto := view.NewExamination(rev.Commit, found)
	if asJSON {
		if err := view.JSON(a.Data(), dto); err != nil {
			return err
		}
	} else {
		view.WriteExamination(a.Out, a.Palette(), dto)
	}
	if dto.Errors > 0 || dto.Incomplete {
		return console.ExitCode(console.ExitError)
	}
	return nil
}
