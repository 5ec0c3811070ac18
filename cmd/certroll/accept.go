package main

import (
	"context"
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"certroll/reconcile"
)

func (a *app) acceptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accept COMMIT",
		Short: "Accept a head whose history was rewritten",
		Long: `Accept that the head of the config repo does not descend from the revision that
was in force, because its history was rewritten or went back. Writes an event to
the ledger with who did so; run takes the head with its next pull, and plan and
apply from then on. COMMIT is the head, its hash in full: a head that has moved
on since you looked is not accepted. A signature that certroll.hcl demands is
demanded of it too.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.accept(cmd.Context(), args[0]) },
	}
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

func (a *app) accept(ctx context.Context, commit string) error {
	if !fullHash.MatchString(commit) {
		return fmt.Errorf("accepting %q: write the commit's hash in full, as the error and the event have it: 40 digits", commit)
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	src, err := s.source()
	if err != nil {
		return err
	}
	rev, err := src.Fetch(ctx)
	if err != nil {
		return err
	}
	if rev.Commit != commit {
		return fmt.Errorf("accepting %s: the head is %s now (%q by %s); look at that one, and accept it", commit, rev.Commit, rev.Subject, rev.Author)
	}
	ledger, err := s.writeLedger("")
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	r := reconcile.New(&reconcile.Observer{}, nil, nil, ledger, noJournal{}, reconcile.Options{})
	if err := r.Accept(ctx, reconcile.Revision{Commit: rev.Commit, Author: rev.Author}, a.person()); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Accepted %s (%q by %s).\n", rev.Commit, rev.Subject, rev.Author)
	return nil
}
