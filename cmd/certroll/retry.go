package main

import (
	"context"
	"sync"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/cmd/certroll/wiring"
	"certroll/reconcile/recorder"
)

func (a *app) retryCommand() *cobra.Command {
	want := recorder.Retry{}
	var asJSON bool
	c := &cobra.Command{
		Use:   "retry NAME...",
		Short: "End the hold of certificates after you fixed its cause",
		Long: `Record in the ledger that certroll should try certificates again now. retry contacts
neither the CA nor Vault: the next pass of certroll run, or the next certroll apply,
tries them. Earlier failures still count: after another failure, certroll waits as
long as it would have without retry. If certroll holds an issuer or a DNS account
that failed for many, it tries that one with the certificate, even if the certificate
never failed itself. If you name several, certroll tries one of them. If that one
fails, the others wait no longer than before.

Without --force, retry keeps a rate limit whose end the CA stated. The audit log
has your name: $CERTROLL_ACTOR, or user@host.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			want.Certificates = args
			return a.retry(cmd.Context(), want, asJSON)
		},
	}
	c.Flags().StringVar(&want.Why, "reason", "", "reason, for the audit log")
	c.Flags().BoolVar(&want.Force, "force", false, "retry even before the time that the CA stated")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON (schema in docs/asking.md)")
	return c
}

// declared returns the names of the config repo's certificates; nil if the repo cannot
// be read or decoded. That is no error, since a certificate with a record can be
// retried.
func (a *app) declared(ctx context.Context, s *settings.Settings) []string {
	rev, err := configrepo.Read(ctx, s, a.configDir)
	if err != nil {
		return nil
	}
	desired, _, diags := configrepo.Decode(ctx, s, rev.Files)
	if diags.HasErrors() {
		return nil
	}
	return desired.Names()
}

func (a *app) retry(ctx context.Context, want recorder.Retry, asJSON bool) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	r, closeLedger, err := wiring.LedgerAlone(s)
	if err != nil {
		return err
	}
	defer closeLedger()
	want.Actor = a.Person()
	want.Declared = sync.OnceValue(func() []string { return a.declared(ctx, s) })
	done, commit, err := r.Retry(ctx, want)
	if err != nil {
		return err
	}
	dto := view.NewRetry(done, commit)
	if asJSON {
		return view.JSON(a.Data(), dto)
	}
	view.WriteRetry(a.Out, a.Palette(), dto)
	return nil
}
