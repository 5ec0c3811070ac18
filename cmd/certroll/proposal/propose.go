package proposal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/configrepo"
	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/planfile"
	"certroll/cmd/certroll/retention"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/cmd/certroll/wiring"
	"certroll/gitsync"
	"certroll/reconcile/acme/dnsprovider"
	"certroll/reconcile/ledger"
	"certroll/reconcile/plan"
	"certroll/reconcile/review"
	"certroll/spec"
)

// Input selects what to plan and how.
type Input struct {
	Ref     string // instead of repo.ref
	Base    string // the revision to compare with; "": plan everything
	Offline bool   // use the ledger only
	Writing bool   // the plan will be applied
	GitHub  bool   // also print errors as annotations
	DNS     bool   // check the DNS of the planned certificates
	// Progress receives each certificate's present step.
	Progress func(certificate, step, detail string)
	// Fits may reject the revision before any other work; nil: accept all.
	Fits func(*gitsync.Revision) error
	// look adds notes to the review about the planned or changed certificates. nil:
	// none.
	look func(ctx context.Context, desired *spec.Spec, certificates []string) []review.Note
}

// Proposal is a plan with everything needed to apply it.
type Proposal struct {
	*wiring.Parts
	plan.Plan

	Settings *settings.Settings
	Log      *slog.Logger
	Desired  *spec.Spec
	Revision *gitsync.Revision
	NotRead  []plan.Action // held because their file is unread; with a base: by the change
	Exact    bool          // fail unless all of the actions are done
	View     view.Plan
}

// Rev returns the revision in the ledger's form.
func (p *Proposal) Rev() ledger.Revision {
	return ledger.Revision{Commit: p.Revision.Commit, Author: p.Revision.Author}
}

// Fresh returns the plan in planfile's form.
func (p *Proposal) Fresh() planfile.Plan {
	f := planfile.Plan{Plan: p.Plan, Desired: p.Desired, Revision: p.Revision}
	if p.Client != nil {
		f.Vault = p.Client.Name()
	}
	if p.View.Change != nil {
		f.Only = map[string]bool{}
		for _, c := range p.View.Change.Certificates {
			f.Only[c.Certificate] = true
		}
	}
	return f
}

// Planner is the part of the program that planning needs.
type Planner struct {
	*console.Console

	ConfigFile, ConfigDir, LogLevel string

	Version, Release string
	Settings         func() (*settings.Settings, error)
	Logger           func(*settings.Settings) (*slog.Logger, error)
	Connect          func(ctx context.Context, s *settings.Settings, log *slog.Logger, writing bool, progress func(string, string, string)) (*wiring.Parts, error)
}

// sides are the planned revision and the base to compare with.
type sides struct {
	head, base     *spec.Spec
	rev, baseRev   *gitsync.Revision
	warnings       []string
	directory, ref string
}

// Propose reads, observes and plans.
func (a *Planner) Propose(ctx context.Context, in Input) (*Proposal, error) {
	s, err := a.settingsFor(in)
	if err != nil {
		return nil, err
	}
	log, err := a.Logger(s)
	if err != nil {
		return nil, err
	}
	if in.DNS {
		in.look = checkDNS(log, a.Version)
	}
	if in.Writing {
		if err := dnsprovider.CheckProgram(ctx, nil, a.Release); err != nil {
			return nil, err
		}
	}
	both, err := a.sides(ctx, s, in)
	if err != nil {
		return nil, err
	}
	p, obs, err := a.observe(ctx, s, log, in, both)
	if err != nil {
		return nil, err
	}
	p.Observed, p.At, p.Settings, p.Log = obs, time.Now(), s, log
	if err := p.decide(ctx, in, s, both); err != nil {
		p.Close()
		return nil, err
	}
	if p.KV != nil {
		p.View.Warnings = append(p.View.Warnings, retention.Warnings(ctx, p.KV, p.Desired, log)...)
	}
	return p, nil
}

// settingsFor loads certroll.hcl. An offline plan ignores a directory's own certroll.hcl
// unless it is named: in the checkout of a fork, the fork wrote it.
func (a *Planner) settingsFor(in Input) (*settings.Settings, error) {
	if !in.Offline || a.ConfigDir == "" || a.ConfigFile != "" {
		return a.Settings()
	}
	s := settings.Usual()
	if a.LogLevel != "" {
		s.Log.Level = a.LogLevel
	}
	return s, nil
}

// sides reads and decodes the planned revision and its base.
func (a *Planner) sides(ctx context.Context, s *settings.Settings, in Input) (*sides, error) {
	signed := s.Verify != nil
	if in.Ref != "" {
		if a.ConfigDir != "" {
			return nil, fmt.Errorf("--ref asks repo.url, and --config-dir reads a directory: leave one of them out")
		}
		s.Propose(in.Ref)
	}
	rev, err := configrepo.Read(ctx, s, a.ConfigDir)
	if err == nil && in.Fits != nil {
		err = in.Fits(rev)
	}
	if err != nil {
		return nil, err
	}
	if in.Base != "" && a.ConfigDir != "" {
		rev = rev.InGit()
	}
	both := &sides{rev: rev, directory: rev.Directory, ref: in.Base}
	unread := a.readBase(ctx, s, both)
	head, files, diags := a.decodePlanned(ctx, s, in, both)
	view.Briefly(a.Err, a.Palette(), files, diags)
	if in.GitHub {
		view.AnnotateDiagnostics(a.Annotations(), rev.Directory, s.Path(), diags)
	}
	if diags.HasErrors() {
		return nil, console.ErrShown
	}
	configrepo.NoteUnread(head, rev)
	both.head = head
	if in.Ref != "" && signed {
		both.warnings = append(both.warnings, fmt.Sprintf("the signature of %s was not checked: apply and run check the head that they apply", in.Ref))
	}
	if a.ConfigDir != "" && signed {
		both.warnings = append(both.warnings, fmt.Sprintf("no signature was checked for the files in %s: verify in certroll.hcl applies to the head of the branch", a.ConfigDir))
	}
	if in.Offline && s.File == nil {
		both.warnings = append(both.warnings, "certroll.hcl is not at hand (--config), so whether references, httpreq, webroots and endpoints stay within what the reconciler allows was not checked"+a.passedOver())
	}
	if in.Base == "" {
		return both, nil
	}
	if unread != nil {
		return nil, unread
	}
	if err := a.baseSide(ctx, s, both); err != nil {
		return nil, err
	}
	if in.Ref == "" && a.ConfigDir == "" && both.baseRev.Commit == rev.Commit {
		return nil, comparesWithItself(s, in.Base, rev.Commit)
	}
	return both, nil
}

// comparesWithItself returns the error for a --base that is also the planned revision.
// Otherwise every pull request would get "nothing to do".
func comparesWithItself(s *settings.Settings, base, commit string) error {
	return fmt.Errorf("plan --base %[1]s compares %[1]s with itself: without --ref and --config-dir, certroll plans %[2]s, which is at the same commit %.12[3]s. "+
		"Name the branch of the change: certroll plan --ref BRANCH --base %[1]s; or, in a checkout of that branch: certroll plan --config-dir %[4]s --base origin/%[1]s",
		base, cmp.Or(s.Repo.Ref, "the default branch of repo.url"), commit, cmp.Or(s.Repo.Directory, "."))
}

// decodePlanned decodes the planned revision. A proposal cannot have been in force, so
// new rules reject it.
func (a *Planner) decodePlanned(ctx context.Context, s *settings.Settings, in Input, both *sides) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	rev := both.rev
	if in.Ref != "" || in.Base != "" || in.Offline {
		desired, files, diags := configrepo.DecodeChange(ctx, s, rev.Files, both.baseRev)
		return desired, files, append(diags, configrepo.UnreadWarnings(rev)...)
	}
	return configrepo.DecodeHead(ctx, s, a.ConfigDir, rev)
}

// passedOver mentions a certroll.hcl in the working directory that was ignored.
func (a *Planner) passedOver() string {
	if _, err := os.Stat(settings.DefaultFile); err != nil || a.ConfigFile != "" {
		return ""
	}
	return "; the one in this directory was not read, as a pull request could have brought it: name it where it can be trusted"
}

// readBase reads the base, if there is one.
func (a *Planner) readBase(ctx context.Context, s *settings.Settings, both *sides) error {
	if both.ref == "" {
		return nil
	}
	rev, whole, err := a.baseRevision(ctx, s, both.ref)
	if err != nil {
		return err
	}
	if !whole {
		both.warnings = append(both.warnings, fmt.Sprintf("the history at hand does not reach the commit where this change left %s, so it is compared with %[1]s itself: "+
			"what came there since looks as if this change took it back; fetch the whole history (fetch-depth: 0)", both.ref))
	}
	both.baseRev = rev
	return nil
}

func (a *Planner) baseSide(ctx context.Context, s *settings.Settings, both *sides) error {
	rev := both.baseRev
	base, files, diags := configrepo.DecodeInForce(ctx, s, rev.Files) // the base is merged
	if diags.HasErrors() {
		view.Diagnostics(a.Err, a.Palette(), files, diags)
		return fmt.Errorf("reading what the change is compared with: %s has the mistakes above; fix them there first, or plan without --base", both.ref)
	}
	configrepo.NoteUnread(base, rev)
	both.base = base
	return nil
}

// baseRevision reads the base from the directory's checkout, or from repo.url.
func (a *Planner) baseRevision(ctx context.Context, s *settings.Settings, ref string) (rev *gitsync.Revision, whole bool, err error) {
	if a.ConfigDir != "" {
		checkout, err := gitsync.OpenCheckout(a.ConfigDir)
		if err != nil {
			return nil, false, err
		}
		return checkout.Base(ref)
	}
	there, repo := *s, *s.Repo
	there.Repo = &repo
	there.Propose(ref)
	src, err := there.Source()
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = src.Close() }()
	rev, err = src.Fetch(ctx)
	return rev, true, err
}

// observe reads the observed state for both sides.
func (a *Planner) observe(ctx context.Context, s *settings.Settings, log *slog.Logger, in Input, both *sides) (*Proposal, *plan.Observed, error) {
	p := &Proposal{Parts: &wiring.Parts{}, Desired: both.head, Revision: both.rev}
	if in.Offline {
		obs, err := a.observeOffline(ctx, s, p)
		return p, obs, err
	}
	var err error
	if p.Parts, err = a.Connect(ctx, s, log, in.Writing, in.Progress); err != nil {
		return nil, nil, err
	}
	looked := both.head
	if both.base != nil {
		looked = plan.Union(both.base, both.head)
	}
	obs, err := p.Reconciler.Observe(ctx, looked)
	if err == nil && in.Writing {
		if asked := p.Reconciler.Ask(ctx, both.head, obs); asked != nil {
			fmt.Fprintf(a.Err, "Could not refresh renewal information; using the last known values: %s\n", asked)
		}
	}
	if err != nil {
		p.Close()
		return p, obs, err
	}
	view.WriteUnreadable(a.Err, obs.Unread)
	return p, obs, nil
}

// observeOffline reads the observed state from the ledger alone.
func (a *Planner) observeOffline(ctx context.Context, s *settings.Settings, p *Proposal) (*plan.Observed, error) {
	tree, from, warning, err := a.offlineLedger(ctx, s)
	if err != nil {
		return nil, err
	}
	p.View.Offline, p.View.Warnings = &from, []string{warning}
	obs, err := plan.ObserveRecords(tree, time.Now())
	if err == nil {
		view.WriteUnreadable(a.Err, obs.Unread)
	}
	return obs, err
}

// offlineLedger finds the ledger without a secret: in the checkout, if the ledger is a
// branch of the same repository, else at ledger.url.
func (a *Planner) offlineLedger(ctx context.Context, s *settings.Settings) (tree fs.FS, from view.Offline, warning string, err error) {
	if a.ConfigDir != "" && s.Ledger.URL == s.Repo.URL {
		return a.fetchedLedger(s)
	}
	ledger, err := s.OpenLedger("")
	if err != nil {
		return nil, from, "", err
	}
	defer func() { _ = ledger.Close() }()
	tree, head, err := ledger.Snapshot(ctx)
	if err != nil {
		return nil, from, "", err
	}
	return tree, view.Offline{Ledger: head}, fmt.Sprintf("Vault was not asked: what is live is what the ledger says at %.12s", head), nil
}

// fetchedLedger returns the ledger that the checkout last fetched.
func (a *Planner) fetchedLedger(s *settings.Settings) (tree fs.FS, from view.Offline, warning string, err error) {
	checkout, err := gitsync.OpenCheckout(a.ConfigDir)
	if err != nil {
		return nil, from, "", err
	}
	tree, commit, at, err := checkout.Ledger(s.Ledger.Branch, s.Ledger.Directory)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		branch := cmp.Or(s.Ledger.Branch, gitsync.DefaultBranch)
		return emptyTree{}, from, fmt.Sprintf("Vault was not asked, and the checkout has no ledger: all certificates are taken for new; fetch its branch (git fetch origin %s:refs/remotes/origin/%[1]s)", branch), nil
	case err != nil:
		return nil, from, "", err
	}
	return tree, view.Offline{Ledger: commit, Time: &at}, fmt.Sprintf("Vault was not asked: what is live is what the ledger says at %.12s of %s, as this checkout has it",
		commit, at.Format(time.RFC3339)), nil
}

// emptyTree is an empty ledger.
type emptyTree struct{}

func (emptyTree) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// decide plans, and builds the view.
func (p *Proposal) decide(ctx context.Context, in Input, s *settings.Settings, both *sides) error {
	warnings := append(p.View.Warnings, both.warnings...)
	offline := p.View.Offline
	var notes []review.Note
	var change *view.Change
	about := []string{}
	if both.base == nil {
		p.Plan = plan.New(both.head, p.Observed, p.At)
		p.NotRead = plan.NotRead(p.Actions)
		for _, a := range p.Actions {
			if a.Kind != ledger.KindNone && a.Spec != nil {
				about = append(about, a.Certificate)
			}
		}
	} else {
		set := review.ChangeOf(both.base, both.head, p.Observed, p.At)
		p.Plan = set.Planned
		notes = review.Notes(set, both.base, both.head, spec.NewLocator(configrepo.SpecFiles(both.rev.Files)), s.Interval)
		change = view.NewChange(view.Base{Ref: both.ref, Revision: both.baseRev.Commit}, both.directory, set)
		for _, c := range set.Certificates {
			switch {
			case c.New != nil:
				about = append(about, c.Name)
			case c.After != nil && c.Old != nil:
				p.NotRead = append(p.NotRead, plan.NotRead([]plan.Action{*c.After})...)
			}
		}
	}
	if in.look != nil {
		notes = append(notes, in.look(ctx, both.head, about)...)
		review.SortNotes(notes)
	}
	p.View = view.NewPlan(both.rev.Commit, p.At, p.Actions, warnings)
	p.View.Offline, p.View.Change, p.View.Review = offline, change, view.NewNotes(both.directory, notes)
	return ctx.Err()
}

// NotReadErrors returns one error for each certificate that is held because its file is
// unread; nil if there are none.
func NotReadErrors(actions []plan.Action) error {
	var errs []error
	for _, a := range actions {
		errs = append(errs, fmt.Errorf("certificate %q is held: %s", a.Certificate, a.Detail))
	}
	return errors.Join(errs...)
}
