package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
)

// expiringDays is how far expiring looks unless told.
const expiringDays = 14

func (a *app) expiringCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "expiring [DAYS]",
		Short: "Show what expires soon, and why it is not renewed yet",
		Long: `Show the certificates that expire within DAYS (default 14), the nearest first,
and for each whether it is renewed by itself, when, and what keeps it from it.
Reads the ledger only.

Exits 1 where one of them is failing, overdue or unmanaged, 3 where the ledger cannot
be read, and 0 otherwise: one
that expires and will be renewed by itself is in order, as those are that live
no longer than that. Overdue is one whose time to renew has passed by a tenth of
what there is until it expires, and an hour at least, without a try.`,
		Args: cobra.MaximumNArgs(1),
		RunE: looking(func(cmd *cobra.Command, args []string) error {
			days, err := parseDays(args)
			if err != nil {
				return err
			}
			_, records, err := a.ledger(cmd.Context())
			if err != nil {
				return err
			}
			dto := view.NewExpiring(records, days, time.Now())
			if asJSON {
				err = view.JSON(a.data(), dto)
			} else {
				view.WriteExpiring(a.out, a.palette(), dto)
			}
			if err == nil && dto.NotInOrder > 0 {
				return exitCode(exitError)
			}
			return err
		}),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON (schema in docs/asking.md)")
	return c
}

func parseDays(args []string) (int, error) {
	if len(args) == 0 {
		return expiringDays, nil
	}
	days, err := strconv.Atoi(args[0])
	if err != nil || days < 0 || days > 10_000 {
		return 0, fmt.Errorf("%q is no number of days: write certroll expiring 30", args[0])
	}
	return days, nil
}
