package ask

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/view"
)

// expiringDays is the default range of expiring, in days.
const expiringDays = 14

// ExpiringCommand displays the certificates that expire soon.
func (a *Commands) ExpiringCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "expiring [DAYS]",
		Short: "Show certificates that expire soon, and why they are not renewed yet",
		Long: `Show the certificates that expire within DAYS (default 14), the nearest first, and
for each whether and when certroll renews it, and what prevents that. Reads only
the ledger.

Exits 1 if one of them is failing, overdue or unmanaged, 3 if the ledger cannot be
read, and 0 otherwise: a certificate that certroll will renew in time is in order.
A certificate is overdue if certroll has not tried to renew it although a tenth of
the time from its due date to its expiry has passed, and an hour at least.`,
		Args: cobra.MaximumNArgs(1),
		RunE: console.Looking(func(cmd *cobra.Command, args []string) error {
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
				err = view.JSON(a.Data(), dto)
			} else {
				view.WriteExpiring(a.Out, a.Palette(), dto)
			}
			if err == nil && dto.NotInOrder > 0 {
				return console.ExitCode(console.ExitError)
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
