package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
	"certroll/reconcile"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how the certificates stand, from the ledger",
		Long: `Show how all certificates stand, or one of them in full. Reads the ledger only.
Exits 1 where a certificate is failing.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			ledger, err := s.openLedger()
			if err != nil {
				return err
			}
			tree, _, err := ledger.Snapshot(cmd.Context())
			if err != nil {
				return err
			}
			records, err := reconcile.ReadRecords(tree)
			if err != nil {
				return err
			}
			return a.showStatus(records, args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the records as JSON")
	return c
}

func (a *app) showStatus(records map[string]*reconcile.Record, args []string, asJSON bool) error {
	if len(args) == 1 {
		r, ok := records[args[0]]
		if !ok {
			return fmt.Errorf("the ledger has no record of %q: it was never applied, or its name is another (certroll status lists all)", args[0])
		}
		records = map[string]*reconcile.Record{args[0]: r}
	}
	dto := view.NewStatus(records)
	switch {
	case asJSON:
		if err := view.JSON(a.out, dto); err != nil {
			return err
		}
	case len(args) == 1:
		view.WriteRecord(a.out, a.palette(), dto.Certificates[0])
	default:
		view.WriteStatus(a.out, a.palette(), dto)
	}
	if dto.Failing > 0 {
		return exitCode(exitError)
	}
	return nil
}
