package ask

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
	"certroll/spec/text"
)

// StatusCommand displays the state of the certificates.
func (a *Commands) StatusCommand() *cobra.Command {
	var asJSON bool
	var dir string
	answer := func(cmd *cobra.Command, args []string) error {
		dto, err := a.status(cmd.Context(), args)
		if err != nil {
			return err
		}
		if err := a.showStatus(dto, asJSON); err != nil {
			return err
		}
		switch {
		case dto.Paging > 0, dto.Revoked > 0, dto.Deleted > 0:
			return console.ExitCode(console.ExitPage)
		case !dto.Well():
			return console.ExitCode(console.ExitError)
		}
		return nil
	}
	c := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show the state of the certificates",
		Long: `Show the state of all certificates, or the details and history of one. Reads the
ledger and the state of certroll run, at the address that listen in certroll.hcl
names. If only one of them answers, shows that one. Contacts neither Vault nor a CA.

Exits 0 if all is well; 1 if a certificate is failing or overdue (see certroll
expiring), an endpoint does not serve it, or certroll run cannot do its work; 2 if
a person must act now: a certificate failed three times in a row or more, was
revoked, or its secret was deleted; and 3 if neither the ledger nor certroll run
could be read, certroll.hcl has a mistake, or the ledger has no record of NAME.

With --html it writes the status page into a directory instead, as files for a
web server, and exits 0 in any state of the certificates.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir == "" {
				return console.Looking(answer)(cmd, args)
			}
			if len(args) > 0 {
				return errors.New("--html writes the page of all certificates: leave the name out")
			}
			return a.writePages(cmd.Context(), dir)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON (schema in docs/asking.md)")
	c.Flags().StringVar(&dir, "html", "", "write the status page into this directory")
	c.MarkFlagsMutuallyExclusive("json", "html")
	return c
}

// ledgerPatience bounds the ledger's fetch if certroll run has already answered.
const ledgerPatience = 20 * time.Second

// status returns the view of all certificates, or of the named one.
func (a *Commands) status(ctx context.Context, names []string) (view.Status, error) {
	s, err := a.LoadSettings()
	if err != nil {
		return view.Status{}, err
	}
	service, answer := askRun(ctx, s)
	if answer != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ledgerPatience)
		defer cancel()
	}
	dto, err := a.statusOfLedger(ctx, s, names)
	if err != nil && answer != nil && len(names) == 0 {
		return statusFromRun(service, answer, err), nil
	}
	dto.Service = service
	return dto, err
}

// statusOfLedger returns the status in the ledger's records.
func (a *Commands) statusOfLedger(ctx context.Context, s *settings.Settings, names []string) (view.Status, error) {
	tree, records, err := a.ledgerOf(ctx, s)
	if err != nil {
		return view.Status{}, err
	}
	problems, err := archive.ReadProblems(tree)
	if err != nil {
		return view.Status{}, err
	}
	if len(names) == 0 {
		dto := view.NewStatus(records, time.Now())
		dto.Problems = problems.Served("")
		return dto, nil
	}
	name := names[0]
	r, ok := records[name]
	if !ok {
		return view.Status{}, fmt.Errorf("the ledger has no record of %q: it was never applied, or its name is another (certroll status lists all).%s", name, text.Meant(name, slices.Sorted(maps.Keys(records))))
	}
	events, err := archive.Query{Certificate: name}.Events(tree)
	dto := view.NewStatus(map[string]*ledger.Record{name: r}, time.Now())
	dto.Problems = problems.Served(name)
	dto.Story = view.NewStory(r, events, time.Now())
	return dto, err
}

func (a *Commands) showStatus(dto view.Status, asJSON bool) error {
	switch {
	case asJSON:
		return view.JSON(a.Data(), dto)
	case dto.Story != nil:
		view.WriteStory(a.Out, a.Palette(), dto.Certificates[0], dto.Story)
		view.WriteServed(a.Out, a.Palette(), dto.Problems)
	default:
		view.WriteStatus(a.Out, a.Palette(), dto, a.Width())
	}
	return nil
}
