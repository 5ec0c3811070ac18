package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
	"certroll/reconcile"
)

func (a *app) auditCommand() *cobra.Command {
	var q reconcile.Query
	var operation, status, class, since string
	var asJSON bool
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show what happened, from the ledger's audit log",
		Long: `Show the events of the audit log, all there are, the newest last. Each flag
leaves those that fit; -status error stands for failure and denied.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			q.Operation, q.Status, q.Class = reconcile.Kind(operation), reconcile.Status(status), reconcile.Class(class)
			s, err := a.settings()
			if err != nil {
				return err
			}
			tree, err := s.ledgerTree(cmd.Context())
			if err != nil {
				return err
			}
			events, err := q.Events(tree)
			if err != nil {
				return err
			}
			if asJSON {
				return view.JSON(a.out, view.NewAudit(events))
			}
			view.WriteAudit(a.out, a.palette(), events)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&operation, "operation", "", "issue, renew, rotate, retry, ... (docs/ledger.md)")
	f.StringVar(&status, "status", "", "success, failure, held, denied, or error for failure and denied")
	f.StringVar(&q.Certificate, "certificate", "", "of this certificate")
	f.StringVar(&q.Issuer, "issuer", "", "of this issuer")
	f.StringVar(&class, "class", "", "failures of this class")
	f.StringVar(&q.Severity, "severity", "", "of this severity: page")
	f.StringVar(&since, "since", "", "not before that long ago (24h, 7d), or a date")
	f.BoolVar(&asJSON, "json", false, "print the events as JSON (schema in docs/asking.md)")
	c.AddCommand(a.auditVerifyCommand())
	return c
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that the audit log was only ever appended to",
		Long: `Check the audit log: each line is an event with the hash of the line before it,
over all files; each commit of the ledger's branch has one parent and only
appends to its audit files; and the branch goes on from the head that this
machine saw last (kept in state_dir). Fetches the branch's whole history.

Exits 0 where all is in order, 1 with what was found.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.verifyAudit(cmd.Context(), asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON (schema in docs/asking.md)")
	return c
}

func (a *app) verifyAudit(ctx context.Context, asJSON bool) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	ledger, err := s.openLedger(s.ledgerMemory())
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	if _, _, err := ledger.Snapshot(ctx); err != nil {
		return err
	}
	// Where the ledger is a directory of a branch that people work on too,
	// they merge.
	trail, err := reconcile.VerifyTrail(ctx, ledger, s.Ledger.Directory != "")
	if err != nil {
		return err
	}
	if old, now, ok := ledger.Rewound(); ok {
		trail.Findings = append(trail.Findings, reconcile.Rewound(old, now))
	}
	dto := view.NewVerified(trail)
	if asJSON {
		err = view.JSON(a.out, dto)
	} else {
		view.WriteVerified(a.out, a.palette(), dto)
	}
	if err == nil && !dto.InOrder {
		return exitCode(exitError)
	}
	return err
}
