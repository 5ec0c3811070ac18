package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/planfile"
	"certroll/cmd/certroll/proposal"
	"certroll/cmd/certroll/view"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/spec/text"
)

func (a *app) applyCommand() *cobra.Command {
	var o applyOptions
	c := &cobra.Command{
		Use:   "apply [FILE]",
		Short: "Carry out the plan",
		Long: `Show the plan, ask for approval, and carry it out. Without a terminal, give
--auto-approve or FILE. Writes certificates and keys to Vault, records and the
audit log to the ledger. Exits 1 if an action failed or was left undone; actions
that wait according to the plan do not count.

On Ctrl-C, apply starts no further action, finishes or cleanly stops the running
ones, and writes the ledger; the next run continues there. A second Ctrl-C stops at
once; the next run recovers from that too.

FILE is the output of plan --out. apply FILE carries out exactly its actions,
without a question. If the head of the config repo or the state of Vault has
changed since, it does nothing and prints what changed.

certroll holds a mass change, in which too many live certificates would change at
once, until you accept it: answer yes, apply a FILE, set --accept-removals, or run
certroll accept --missing. --auto-approve alone does not accept it: apply carries
out the rest and exits 1.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.applyFile(cmd.Context(), args[0], o.json)
			}
			return a.apply(cmd.Context(), o)
		},
	}
	a.configDirFlag(c)
	c.Flags().BoolVar(&o.auto, "auto-approve", false, "do not ask for approval; needed without a terminal")
	c.Flags().BoolVar(&o.json, "json", false, "print the result as JSON; needs --auto-approve or FILE")
	c.Flags().IntVar(&o.removals, "accept-removals", 0, "accept a mass change of at most this many certificates")
	return c
}

// applyOptions are the flags of apply.
type applyOptions struct {
	auto, json bool
	removals   int
}

func (a *app) apply(ctx context.Context, o applyOptions) error {
	if o.json && !o.auto {
		return errors.New("apply --json cannot ask for approval: add --auto-approve")
	}
	p, err := a.plan(ctx, proposal.Input{Writing: true, Progress: a.Progress(o.json)})
	if err != nil {
		return err
	}
	defer p.Close()
	if !o.json {
		view.WritePlan(a.Out, a.Palette(), p.View)
	}
	held := plan.MassHold(p.Actions)
	how := ""
	if held != nil && o.removals >= len(held.Certificates) {
		how = fmt.Sprintf("by apply --accept-removals %d", o.removals)
	}
	if !o.auto && (p.View.Changes() > 0 || held != nil) {
		if err := a.approve(ctx, held); err != nil {
			return err
		}
		how = "by yes to apply"
	}
	if held != nil && how != "" {
		if err := a.release(ctx, p, held, how); err != nil {
			return err
		}
	}
	return a.carryOut(ctx, p, o.json)
}

// release records a person's consent to what is held, and plans again.
func (a *app) release(ctx context.Context, p *proposal.Proposal, held *ledger.HeldSet, how string) error {
	set, err := p.Reconciler.AcceptHeld(ctx, held.ID, held, a.Person(), how)
	if err != nil {
		return err
	}
	p.Observed.Accept(set)
	p.Plan = plan.New(p.Desired, p.Observed, p.At)
	p.View = view.NewPlan(p.Revision.Commit, p.View.Time, p.Actions, p.View.Warnings)
	return nil
}

// applyFile applies the actions of a plan file, and nothing else.
func (a *app) applyFile(ctx context.Context, path string, asJSON bool) error {
	f, err := planfile.Read(path, time.Now())
	if err != nil {
		return err
	}
	p, err := a.plan(ctx, proposal.Input{Writing: true, Progress: a.Progress(asJSON), Fits: f.Fits})
	if err != nil {
		return err
	}
	defer p.Close()
	if held := plan.MassHold(p.Actions); held != nil && plan.Consents(f.Actions, held) {
		// The consent covers the whole file: all other actions must be as planned.
		if err := f.Agrees(p.Fresh(), held); err != nil {
			return err
		}
		if err := a.release(ctx, p, held, "by a plan file of "+f.Time.UTC().Format(time.RFC3339)); err != nil {
			return err
		}
	}
	if p.Actions, err = f.Pick(p.Fresh()); err != nil {
		return err
	}
	p.Exact = true
	p.View = view.NewPlan(p.Revision.Commit, p.View.Time, p.Actions, p.View.Warnings)
	if !asJSON {
		view.WritePlan(a.Out, a.Palette(), p.View)
	}
	return a.carryOut(ctx, p, asJSON)
}

// carryOut applies an approved plan, and displays the result.
func (a *app) carryOut(ctx context.Context, p *proposal.Proposal, asJSON bool) error {
	report, err := p.Reconciler.Apply(ctx, p.Desired, p.Rev(), p.Plan)
	a.notifyOnce(ctx, p)
	result := view.NewResult(p.View, report)
	if asJSON {
		if jsonErr := view.JSON(a.Data(), result); jsonErr != nil {
			return jsonErr
		}
	} else {
		view.WriteResult(a.Out, a.Palette(), result)
	}
	if err != nil {
		return err
	}
	if report.Disk != nil && report.Unrecorded() == 0 {
		fmt.Fprintf(a.Err, "Warning: %s\n", text.Lines(fmt.Sprintf("the state directory cannot be written: %s. All results are in the ledger", report.Disk)))
	}
	left := report.Failed() + report.Interrupted + report.Held + report.Unrecorded()
	if p.Exact {
		left += report.Overtaken // another process was faster, between the observation and the lease
	}
	if held := plan.MassHold(p.Actions); held != nil {
		fmt.Fprintf(a.Err, "%s\n", text.Lines(fmt.Sprintf("Held: %s. If that is intended, run: certroll accept --missing %s (or apply --accept-removals %d)",
			held.Summary(), held.ID, len(held.Certificates))))
		left++
	}
	if err := proposal.NotReadErrors(plan.NotRead(p.Actions)); err != nil {
		return err
	}
	if left > 0 {
		return console.ExitCode(console.ExitError)
	}
	return nil
}

// maxLine bounds an answer, in bytes.
const maxLine = 4 << 10

// errNobodyToAsk is the error for a question without a terminal.
var errNobodyToAsk = errors.New("apply needs approval and there is no terminal: use --auto-approve, or apply a reviewed plan (certroll plan --out FILE, then certroll apply FILE); nothing was done")

// approve asks for approval, and for consent to what is held. An interrupt counts as no.
// A pipe may answer as well as a person.
func (a *app) approve(ctx context.Context, held *ledger.HeldSet) error {
	if a.inputIsNothing() {
		return errNobodyToAsk
	}
	if held != nil {
		fmt.Fprintf(a.Out, "\nYes also accepts what is held: %s.", text.Lines(held.Summary()))
	}
	fmt.Fprint(a.Out, "\nApply these changes? Type yes to continue: ")
	said := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(a.In, maxLine)).ReadString('\n')
		if err != nil && line == "" {
			close(said) // no input
			return
		}
		said <- line
	}()
	defer fmt.Fprintln(a.Out)
	select {
	case line, ok := <-said:
		switch {
		case !ok && !a.Asks():
			return errNobodyToAsk
		case strings.TrimSpace(line) == "yes":
			return nil
		}
	case <-ctx.Done():
	}
	fmt.Fprint(a.Out, "\nNothing was done.")
	return console.ExitCode(console.ExitError)
}

// inputIsNothing reports whether no answer can come: the input is closed, or a device
// that is no terminal, such as /dev/null.
func (a *app) inputIsNothing() bool {
	f, ok := a.In.(*os.File)
	if !ok || a.Asks() {
		return false
	}
	info, err := f.Stat()
	return err != nil || info.Mode()&os.ModeCharDevice != 0
}
