package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
	"certroll/reconcile"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	var dir string
	c := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how the certificates stand, from the ledger",
		Long: `Show how all certificates stand, or the whole story of one. Reads the ledger only.

Exits 0 where all is well, 1 where a certificate is failing, or overdue (see
certroll expiring), or an endpoint does not serve it, and 2 where one has failed
three times in a row or more, for which a person is to be woken.

With -html it writes the status page into a directory instead, as files for a
web server, and exits 0 however the certificates stand.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if dir != "" {
				if len(args) > 0 {
					return errors.New("-html writes the page of all certificates: leave the name out")
				}
				return a.writePages(cmd.Context(), dir)
			}
			dto, err := a.status(cmd.Context(), args)
			if err != nil {
				return err
			}
			if err := a.showStatus(dto, asJSON); err != nil {
				return err
			}
			switch {
			case dto.Paging > 0:
				return exitCode(exitPage)
			case !dto.Well():
				return exitCode(exitError)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON (schema in docs/asking.md)")
	c.Flags().StringVar(&dir, "html", "", "write the status page into this directory")
	c.MarkFlagsMutuallyExclusive("json", "html")
	return c
}

// status is the view of all certificates, or of the one that is named.
func (a *app) status(ctx context.Context, names []string) (view.Status, error) {
	tree, records, err := a.ledger(ctx)
	if err != nil {
		return view.Status{}, err
	}
	problems, err := reconcile.ReadProblems(tree)
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
		return view.Status{}, fmt.Errorf("the ledger has no record of %q: it was never applied, or its name is another (certroll status lists all)", name)
	}
	events, err := reconcile.Query{Certificate: name}.Events(tree)
	dto := view.NewStatus(map[string]*reconcile.Record{name: r}, time.Now())
	dto.Problems = problems.Served(name)
	dto.Story = view.NewStory(r, events, time.Now())
	return dto, err
}

func (a *app) showStatus(dto view.Status, asJSON bool) error {
	switch {
	case asJSON:
		return view.JSON(a.out, dto)
	case dto.Story != nil:
		view.WriteStory(a.out, a.palette(), dto.Certificates[0], dto.Story)
		view.WriteServed(a.out, a.palette(), dto.Problems)
	default:
		view.WriteStatus(a.out, a.palette(), dto)
	}
	return nil
}
