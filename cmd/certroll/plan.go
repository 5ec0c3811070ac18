package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/planfile"
	"certroll/cmd/certroll/proposal"
	"certroll/cmd/certroll/view"
)

// planOptions are the flags of plan.
type planOptions struct {
	proposal.Input
	json, markdown, detailed bool

	out  string
	link string
	max  int
}

func (a *app) planCommand() *cobra.Command {
	var o planOptions
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what apply would do, and why",
		Long: `Show what apply would do, and why. Changes nothing. Reads only metadata from
Vault, never a key.

With --base REF, plan shows only the effect of a change: it compares the plan of
the change with the plan of REF, over the same state. Name the change with
--config-dir, a checkout of its branch, or with --ref, a branch of repo.url. With
--offline, plan does not contact Vault and needs no secret: it reads the live
certificates from the ledger's branch.

With --detailed-exitcode the exit code is 0 if there is nothing to do, 1 after an
error, and 2 if there is something to do, as in Terraform; with --base, 2 means
that the change has an effect, now or later.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.planAndShow(cmd.Context(), o) },
	}
	a.configDirFlag(c)
	f := c.Flags()
	f.StringVar(&o.Base, "base", "", "show what the change in --config-dir or --ref does, compared with this branch, tag or commit")
	f.StringVar(&o.Ref, "ref", "", "plan this branch, tag or commit of repo.url instead of repo.ref")
	f.BoolVar(&o.Offline, "offline", false, "do not contact Vault: read the live certificates from the ledger")
	f.BoolVar(&o.DNS, "check-dns", false, "also check CAA, the delegation of challenges and DNSSEC, at the servers that the revision names")
	f.BoolVar(&o.json, "json", false, "print the plan as JSON (schema in docs/plan.md)")
	f.BoolVar(&o.markdown, "markdown", false, "print the plan as Markdown, for a comment")
	f.IntVar(&o.max, "markdown-limit", view.MarkdownLimit, "maximum size of the Markdown, in bytes")
	f.StringVar(&o.link, "link", "", "https URL of the whole plan, for the link in a shortened comment")
	f.BoolVar(&o.GitHub, "github", false, "print mistakes and warnings as annotations of GitHub Actions")
	f.StringVar(&o.out, "out", "", "write the plan to this file, for apply FILE")
	f.BoolVar(&o.detailed, "detailed-exitcode", false, "exit 2 if there is something to do")
	c.MarkFlagsMutuallyExclusive("json", "markdown", "github")
	return c
}

func (a *app) planAndShow(ctx context.Context, o planOptions) error {
	if err := checkLink(o.link); err != nil {
		return err
	}
	p, err := a.plan(ctx, o.Input)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := a.showPlan(p, o); err != nil {
		return err
	}
	if o.out != "" {
		if err := planfile.New(p.Fresh(), version(), p.View.Time).Write(o.out); err != nil {
			return err
		}
	}
	if err := proposal.NotReadErrors(p.NotRead); err != nil {
		return err
	}
	if o.detailed && p.View.Changed() {
		return console.ExitCode(console.ExitChanges)
	}
	return nil
}

// checkLink accepts only URLs that cannot break out of a Markdown link.
func checkLink(link string) error {
	if link == "" {
		return nil
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.ContainsAny(link, "<>\\ \t\r\n") {
		return fmt.Errorf("--link %q is no https URL", link)
	}
	return nil
}

func (a *app) showPlan(p *proposal.Proposal, o planOptions) error {
	switch {
	case o.json:
		return view.JSON(a.Data(), p.View)
	case o.markdown:
		view.WriteMarkdown(a.Data(), p.View, view.MarkdownOptions{Limit: o.max, Link: o.link})
	case o.GitHub:
		view.WriteAnnotations(a.Annotations(), p.View)
	default:
		view.WritePlan(a.Out, a.Palette(), p.View)
	}
	return nil
}
