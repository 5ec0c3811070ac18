package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/wiring"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
)

func (a *app) acceptCommand() *cobra.Command {
	var missing string
	c := &cobra.Command{
		Use:   "accept {COMMIT | --missing ID}",
		Short: "Accept a rewritten history of the config repo, or a mass change",
		Long: `Accept that the head of the config repo does not descend from the revision in
force, because its history was rewritten or moved back. Writes an event with your
name to the ledger. certroll run uses the head with its next pull, plan and apply
at once. COMMIT is the full hash of the head; if the head has moved since, accept
fails. If certroll.hcl requires signed commits, the head still needs a signature.

With --missing, accept a mass change: certroll holds it because too many live
certificates would change at once. They are gone from the config repo or from
Vault, or would be reissued or moved. The plan, the event and the log name the
ID. The ID stands for exactly these certificates and changes; if they have changed
since, accept fails. Does not contact Vault.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (missing == "") == (len(args) == 0):
				return errors.New("accept needs the full hash of a commit, or --missing with the id of a mass change")
			case missing != "":
				return a.acceptMissing(cmd.Context(), missing)
			}
			return a.accept(cmd.Context(), args[0])
		},
	}
	c.Flags().StringVar(&missing, "missing", "", "accept the mass change with this id")
	return c
}

// acceptMissing records a person's consent to a change that the brake holds.
func (a *app) acceptMissing(ctx context.Context, id string) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	r, closeLedger, err := wiring.LedgerAlone(s)
	if err != nil {
		return err
	}
	defer closeLedger()
	set, err := r.AcceptHeld(ctx, id, nil, a.Person(), "what was held")
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "Accepted %s: %s.\nrun does it with its next pull; apply from now on.\n", set.ID, set.Summary())
	return nil
}

func (a *app) accept(ctx context.Context, commit string) error {
	if !archive.IsCommit(commit) {
		return fmt.Errorf("accepting %q: write the commit's hash in full, as the error and the event have it: 40 digits", commit)
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	src, err := s.Source()
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	rev, err := src.Fetch(ctx)
	if err != nil {
		return err
	}
	if rev.Commit != commit {
		return fmt.Errorf("accepting %s: the head is %s now (%q by %s); look at that one, and accept it", commit, rev.Commit, rev.Subject, rev.Author)
	}
	r, closeLedger, err := wiring.LedgerAlone(s)
	if err != nil {
		return err
	}
	defer closeLedger()
	if err := r.Accept(ctx, ledger.Revision{Commit: rev.Commit, Author: rev.Author}, a.Person()); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "Accepted %s (%q by %s).\n", rev.Commit, rev.Subject, rev.Author)
	return nil
}
