package ask

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/cmd/certroll/wiring"
	"certroll/gitsync"
	"certroll/reconcile/archive"
	"certroll/reconcile/audit"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// AuditCommand displays and verifies the audit log, and accepts a loss.
func (a *Commands) AuditCommand() *cobra.Command {
	var q archive.Query
	var operation, status, class, since string
	var asJSON bool
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show what happened, from the ledger's audit log",
		Long: `Show all events of the audit log, the newest last. Each flag narrows the list;
--status error selects failure and denied.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
			q.Operation, q.Status, q.Class = ledger.Kind(operation), ledger.Status(status), ledger.Class(class)
			s, err := a.LoadSettings()
			if err != nil {
				return err
			}
			tree, err := s.LedgerTree(cmd.Context())
			if err != nil {
				return err
			}
			events, err := q.Events(tree)
			if err != nil {
				return err
			}
			if len(events) == 0 && q.Certificate != "" {
				a.unknownInLedger(tree, q.Certificate)
			}
			if asJSON {
				return view.JSON(a.Data(), view.NewAudit(events))
			}
			view.WriteAudit(a.Out, a.Palette(), events)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&operation, "operation", "", "issue, renew, rotate, retry, ... (docs/ledger.md)")
	f.StringVar(&status, "status", "", "success, failure, held, denied, or error for failure and denied")
	f.StringVar(&q.Certificate, "certificate", "", "events of this certificate")
	f.StringVar(&q.Issuer, "issuer", "", "events of this issuer")
	f.StringVar(&class, "class", "", "failures of this class")
	f.StringVar(&q.Severity, "severity", "", "events of this severity: page")
	f.StringVar(&since, "since", "", "events since this date, or within this period until now (24h, 7d)")
	f.BoolVar(&asJSON, "json", false, "print the events as JSON (schema in docs/asking.md)")
	c.AddCommand(a.auditVerifyCommand(), a.auditAcceptCommand())
	return c
}

// unknownInLedger warns if the ledger has no record of a certificate without events.
// That is no error, since the log may begin later.
func (a *Commands) unknownInLedger(tree fs.FS, name string) {
	records, err := archive.ReadRecords(tree)
	if err != nil || records[name] != nil {
		return
	}
	fmt.Fprintf(a.Err, "The ledger has no certificate %q.%s\n", name, text.Meant(name, slices.Sorted(maps.Keys(records))))
}

func (a *Commands) auditVerifyCommand() *cobra.Command {
	var asJSON, anchored bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that the audit log was only ever appended to",
		Long: `Check the audit log: each line is an event with the hash of the line before it,
over all files; each commit of the ledger's branch has one parent and only
appends to its audit files; and the branch descends from the last head that this
machine saw (kept in state_dir). Fetches the branch's whole history.

If certroll.hcl or the environment names a Vault, audit verify also compares the
branch with the checkpoint that certroll writes there after each push. Without that
check, anyone who may push can rewrite the whole ledger unnoticed. With --anchor, an
unreadable checkpoint is an error.

A ledger that was rewritten, moved back or deleted stays a finding, with the commit
to push back, until you accept the loss with certroll audit accept.

Exits 0 if all is in order, 1 with findings, 3 if it could not check.`,
		Args: cobra.NoArgs,
		RunE: console.Looking(func(cmd *cobra.Command, _ []string) error { return a.verifyAudit(cmd.Context(), asJSON, anchored) }),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON (schema in docs/asking.md)")
	c.Flags().BoolVar(&anchored, "anchor", false, "fail if the checkpoint in Vault cannot be read")
	return c
}

func (a *Commands) verifyAudit(ctx context.Context, asJSON, anchored bool) error {
	s, err := a.LoadSettings()
	if err != nil {
		return err
	}
	ledger, err := s.OpenLedger(s.LedgerMemory())
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	tree, _, err := ledger.Snapshot(ctx)
	if err != nil {
		return err
	}
	// People who work on the ledger's branch in other directories create merges.
	trail, err := audit.VerifyTrail(ctx, ledger, s.Ledger.Directory != "")
	if err != nil {
		return err
	}
	found, anchor := a.verifyAnchor(ctx, s, ledger)
	lost, accepted := readLostHeads(tree)
	if old, now, ok := ledger.Rewound(); ok {
		if !accepted[old] && !lost.names(old) {
			trail.Findings = append(trail.Findings, audit.Rewound(old, now))
		}
		found = audit.WithoutLost(found)
	}
	trail.Findings = append(append(trail.Findings, found...), lost.breaches(s)...)
	if anchored && anchor.Unseen != "" {
		return fmt.Errorf("reading the checkpoint in Vault: %s", anchor.Unseen)
	}
	dto := view.NewVerified(trail, anchor)
	if asJSON {
		err = view.JSON(a.Data(), dto)
	} else {
		view.WriteVerified(a.Out, a.Palette(), dto)
	}
	if err == nil && !dto.InOrder {
		return console.ExitCode(console.ExitError)
	}
	return err
}

// verifyAnchor compares the ledger with its checkpoint in Vault, if that can be read.
func (a *Commands) verifyAnchor(ctx context.Context, s *settings.Settings, ledger *gitsync.Ledger) ([]archive.Breach, view.Anchor) {
	if s.Vault.Address == "" && a.Getenv("VAULT_ADDR") == "" {
		return nil, view.Anchor{Unseen: "no Vault is named: set vault.address in certroll.hcl, or VAULT_ADDR"}
	}
	unseen := func(err error) ([]archive.Breach, view.Anchor) { return nil, view.Anchor{Unseen: err.Error()} }
	log, err := a.Logger(s)
	if err != nil {
		return unseen(err)
	}
	_, kv, err := wiring.Login(ctx, s, log)
	if err != nil {
		return unseen(err)
	}
	found, stored, err := audit.VerifyAnchor(ctx, wiring.AnchorOf(s, kv, ledger), ledger)
	switch {
	case err != nil:
		return unseen(err)
	case !stored:
		return nil, view.Anchor{Unseen: "there is no checkpoint yet: certroll apply or run creates it after the next push"}
	}
	return found, view.Anchor{Held: true}
}
