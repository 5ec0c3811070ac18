package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/reconcile"
	"certroll/spec"
)

func (a *app) planCommand() *cobra.Command {
	var asJSON, detailed bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would do, and why",
		Long: `Show what apply would do, and why. Nothing is changed. Of Vault it reads
metadata only, never a key.

With -detailed-exitcode the exit code is 0 where there is nothing to do, 1 after
an error, and 2 where there is something to do, as Terraform has it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			proposal, err := a.plan(cmd.Context(), false, nil)
			if err != nil {
				return err
			}
			defer proposal.Close()
			if err := a.showPlan(proposal, asJSON); err != nil {
				return err
			}
			if detailed && proposal.dto.Changes() > 0 {
				return exitCode(exitChanges)
			}
			return nil
		},
	}
	a.configDirFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON (schema in docs/plan.md)")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit 2 where there is something to do")
	return c
}

// proposal is a plan with all that it takes to apply it.
type proposal struct {
	*parts
	desired  *spec.Spec
	revision *gitsync.Revision
	observed *reconcile.Observed
	now      time.Time // that it was made for
	actions  []reconcile.Action
	dto      view.Plan
}

func (a *app) plan(ctx context.Context, writing bool, progress func(string, string, string)) (*proposal, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	log, err := a.logger(s)
	if err != nil {
		return nil, err
	}
	rev, err := a.revision(ctx, s)
	if err != nil {
		return nil, err
	}
	desired, err := a.decode(s, rev.Files)
	if err != nil {
		return nil, err
	}
	p, err := a.connect(ctx, s, log, writing, progress)
	if err != nil {
		return nil, err
	}
	obs, err := p.reconciler.Observe(ctx, desired)
	if err == nil && writing {
		err = p.reconciler.Ask(ctx, desired, obs)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	now := time.Now()
	actions := reconcile.Plan(desired, obs, now)
	dto := view.NewPlan(rev.Commit, now, actions, keepings(ctx, p.kv, desired, log))
	return &proposal{parts: p, desired: desired, revision: rev, observed: obs, now: now, actions: actions, dto: dto}, nil
}

func (a *app) showPlan(p *proposal, asJSON bool) error {
	if asJSON {
		return view.JSON(a.out, p.dto)
	}
	view.WritePlan(a.out, a.palette(), p.dto)
	return nil
}

func (p *proposal) rev() reconcile.Revision {
	return reconcile.Revision{Commit: p.revision.Commit, Author: p.revision.Author}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.out, "certroll %s\n", version())
			return err
		},
	}
}
