package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
	"certroll/reconcile/acme"
)

func (a *app) applyCommand() *cobra.Command {
	var auto, asJSON bool
	c := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Do what the plan says",
		Long: `Show the plan, ask, and do it: certificates and keys go to Vault, records and
the audit log to the ledger. Exits 1 where anything failed or was left undone, but
not for what waits as the plan says. Ctrl-C takes up no more work, finishes or
cleanly drops what runs, and writes the ledger; the next run goes on where it
stopped. A second Ctrl-C ends it as it is, which the next run makes up for too.

FILE is of plan -out. Exactly its actions are done, without a question; where
the head of the config repo is another one now, or what is in Vault is, nothing
is done, and it says what moved.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.applyFile(cmd.Context(), args[0], asJSON)
			}
			return a.apply(cmd.Context(), auto, asJSON)
		},
	}
	a.configDirFlag(c)
	c.Flags().BoolVar(&auto, "auto-approve", false, "do not ask")
	c.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON; needs -auto-approve or FILE")
	return c
}

func (a *app) apply(ctx context.Context, auto, asJSON bool) error {
	if asJSON && !auto {
		return fmt.Errorf("apply -json asks nothing: give -auto-approve with it")
	}
	p, err := a.plan(ctx, planInput{writing: true, progress: a.progress(asJSON)})
	if err != nil {
		return err
	}
	defer p.Close()
	if !asJSON {
		view.WritePlan(a.out, a.palette(), p.dto)
	}
	if p.dto.Changes() > 0 && !auto && !a.approved(ctx) {
		fmt.Fprintln(a.out, "Nothing was done.")
		return exitCode(exitError)
	}
	return a.carryOut(ctx, p, asJSON)
}

// applyFile does what a plan that was kept says, and nothing else.
func (a *app) applyFile(ctx context.Context, path string, asJSON bool) error {
	f, err := readPlanFile(path, time.Now())
	if err != nil {
		return err
	}
	p, err := a.plan(ctx, planInput{writing: true, progress: a.progress(asJSON), fits: f.fits})
	if err != nil {
		return err
	}
	defer p.Close()
	if p.actions, err = f.pick(p); err != nil {
		return err
	}
	p.exact = true
	p.dto = view.NewPlan(p.revision.Commit, p.dto.Time, p.actions, p.dto.Warnings)
	if !asJSON {
		view.WritePlan(a.out, a.palette(), p.dto)
	}
	return a.carryOut(ctx, p, asJSON)
}

// carryOut applies a plan that was agreed to, and shows how that ended.
func (a *app) carryOut(ctx context.Context, p *proposal, asJSON bool) error {
	report, err := p.reconciler.Apply(ctx, p.desired, p.rev(), p.actions)
	a.notifyOnce(ctx, p)
	result := view.NewResult(p.dto, report)
	if asJSON {
		if jsonErr := view.JSON(a.out, result); jsonErr != nil {
			return jsonErr
		}
	} else {
		view.WriteResult(a.out, a.palette(), result)
	}
	if err != nil {
		return err
	}
	left := report.Failed() + report.Interrupted + report.Held
	if p.exact {
		left += report.Overtaken // somebody was quicker between the look and the lease
	}
	if left > 0 {
		return exitCode(exitError)
	}
	return nil
}

// approved asks. Whoever ends the program instead has not said yes.
func (a *app) approved(ctx context.Context) bool {
	fmt.Fprint(a.out, "\nIs that to be done? Only \"yes\" does it: ")
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		said <- line
	}()
	var line string
	select {
	case line = <-said:
	case <-ctx.Done():
	}
	fmt.Fprintln(a.out)
	return strings.TrimSpace(line) == "yes"
}

// progress prints what each certificate waits for, as it changes.
func (a *app) progress(quiet bool) func(string, string, string) { return a.progressTo(a.out, quiet) }

func (a *app) progressTo(w io.Writer, quiet bool) func(string, string, string) {
	if quiet {
		return nil
	}
	var mu sync.Mutex
	start := time.Now()
	return func(certificate, step, detail string) {
		mu.Lock()
		defer mu.Unlock()
		view.WriteProgress(w, a.palette(), time.Since(start), certificate, step, detail)
	}
}

func dnsChildCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "dns-child",
		Hidden: true,
		Short:  "Serve one DNS account's provider over standard input and output",
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return acme.ServeChild(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
