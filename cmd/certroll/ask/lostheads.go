package ask

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/wiring"
	"certroll/reconcile/archive"
)

// lostHeads are the lost heads in the ledger's own events that no person has accepted.
type lostHeads []archive.LostHead

// readLostHeads reads them. The check of the trail reports an unreadable log.
func readLostHeads(tree fs.FS) (lost lostHeads, accepted map[string]bool) {
	if tree == nil {
		return nil, nil
	}
	events, err := archive.Query{}.Events(tree)
	if err != nil {
		return nil, nil
	}
	return archive.LostHeads(events), archive.AcceptedHeads(events)
}

// names reports whether head is among them.
func (l lostHeads) names(head string) bool {
	for _, lost := range l {
		if lost.Commit == head {
			return true
		}
	}
	return false
}

// breaches returns them as findings.
func (l lostHeads) breaches(s *settings.Settings) []archive.Breach {
	found := make([]archive.Breach, len(l))
	for i, lost := range l {
		found[i] = lost.Breach("git push --force origin COMMIT:" + s.LedgerRef())
	}
	return found
}

func (a *Commands) auditAcceptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accept COMMIT",
		Short: "Accept that the ledger was rewritten, moved back or deleted",
		Long: `Accept that the ledger's branch no longer descends from COMMIT. COMMIT is the full
hash of the head that audit verify and the event ledger_rewound name. Writes an
event with your name to the ledger: from then on, audit verify, run's page and the
metric accept the branch as it is. To restore the lost events instead, push COMMIT
from a clone that still has it; audit verify shows the command. Does not contact
Vault.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.acceptLost(cmd.Context(), args[0]) },
	}
}

func (a *Commands) acceptLost(ctx context.Context, commit string) error {
	if !archive.IsCommit(commit) {
		return fmt.Errorf("accepting the loss of %q: write the commit's hash in full, as certroll audit verify has it: 40 digits", commit)
	}
	s, err := a.LoadSettings()
	if err != nil {
		return err
	}
	r, closeLedger, err := wiring.LedgerAlone(s)
	if err != nil {
		return err
	}
	defer closeLedger()
	seen, err := remembersLost(ctx, s, commit)
	if err != nil {
		return err
	}
	if err := r.AcceptLost(ctx, commit, seen, a.Person()); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "Accepted that the ledger no longer goes on from %s.\n", commit)
	return nil
}

// remembersLost reports whether this machine saw that head and the branch does not
// continue it, before any event in the ledger says so.
func remembersLost(ctx context.Context, s *settings.Settings, commit string) (bool, error) {
	ledger, err := s.OpenLedger(s.LedgerMemory())
	if err != nil {
		return false, err
	}
	defer func() { _ = ledger.Close() }()
	if _, _, err := ledger.Snapshot(ctx); err != nil {
		return false, err
	}
	old, _, ok := ledger.Rewound()
	return ok && old == commit, nil
}
