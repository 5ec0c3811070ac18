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

// Input says what to plan and on what.
type Input struct {
	Ref     string // instead of repo.ref
	Base    string // compare with this; "": plan all
	Offline bool   // by the ledger alone
	Writing bool   // it is to be applied
	GitHub  bool   // mistakes are printed as annotations too
	DNS     bool   // look at the DNS of what the plan is about
	// Progress is told what each certificate waits for.
	Progress func(certificate, step, detail string)
	// Fits may refuse the revision before anybody is asked; nil: any will do.
	Fits func(*gitsync.Revision) error
	// look adds remarks of its own to the review: of certificates that the
	// plan is about, or that the change touches. nil: none.
	look func(ctx context.Context, desired *spec.Spec, certificates []string) []review.Note
}

// Proposal is a plan with all that it takes to apply it.
type Proposal struct {
	*wiring.Parts
	Settings *settings.Settings
	Log      *slog.Logger
	Desired  *spec.Spec
	Revision *gitsync.Revision
	Observed *plan.Observed
	Now      time.Time // that it was made for
	Actions  []plan.Action
	NotRead  []plan.Action // held since their file is not read; with a base: by the change
	Exact    bool          // all of the actions are to be done, or it has failed
	View     view.Plan
}

// Rev is the revision as the ledger has it.
func (p *Proposal) Rev() ledger.Revision {
	return ledger.Revision{Commit: p.Revision.Commit, Author: p.Revision.Author}
}

// Fresh is the plan as a file of it has it.
func (p *Proposal) Fresh() planfile.Plan {
	f := planfile.Plan{Desired: p.Desired, Revision: p.Revision, Observed: p.Observed, Now: p.Now, Actions: p.Actions}
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

// Planner is what of the program it takes to plan.
type Planner struct {
	*console.Console

	ConfigFile, ConfigDir, LogLevel string

	Version, Release string
	Settings         func() (*settings.Settings, error)
	Logger           func(*settings.Settings) (*slog.Logger, error)
	Connect          func(ctx context.Context, s *settings.Settings, log *slog.Logger, writing bool, progress func(string, string, string)) (*wiring.Parts, error)
}

// sides are the revision that is planned and the one it is compared with.
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
	p.Observed, p.Now, p.Settings, p.Log = obs, time.Now(), s, log
	if err := p.decide(ctx, in, s, both); err != nil {
		p.Close()
		return nil, err
	}
	if p.KV != nil {
		p.View.Warnings = append(p.View.Warnings, retention.Warnings(ctx, p.KV, p.Desired, log)...)
	}
	return p, nil
}

// settingsFor loads certroll.hcl. Offline a directory's own is not taken up
// unless it is named: in the checkout of a fork it is the fork's.
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

// sides reads and decodes what is to be planned, and what it is compared with.
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
		both.warnings = append(both.warnings, fmt.Sprintf("whether %s is signed was not looked at: that is asked of the head that is applied", in.Ref))
	}
	if a.ConfigDir != "" && signed {
		both.warnings = append(both.warnings, fmt.Sprintf("whether what lies in %s is signed was not looked at: verify in certroll.hcl is about the head of the branch", a.ConfigDir))
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

// comparesWithItself is the error of a --base that names what is planned anyway:
// without it a pull request would always be told "nothing to do".
func comparesWithItself(s *settings.Settings, base, commit string) error {
	return fmt.Errorf("plan --base %[1]s compares %[1]s with itself: without --ref and --config-dir, certroll plans %[2]s, which is at the same commit %.12[3]s. "+
		"Name the branch of the change: certroll plan --ref BRANCH --base %[1]s; or, in a checkout of that branch: certroll plan --config-dir %[4]s --base origin/%[1]s",
		base, cmp.Or(s.Repo.Ref, "the default branch of repo.url"), commit, cmp.Or(s.Repo.Directory, "."))
}

// decodePlanned decodes what is planned. A proposal is no head that could have
// been in force: the rules of this version reject it.
func (a *Planner) decodePlanned(ctx context.Context, s *settings.Settings, in Input, both *sides) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	rev := both.rev
	if in.Ref != "" || in.Base != "" || in.Offline {
		desired, files, diags := configrepo.DecodeChange(ctx, s, rev.Files, both.baseRev)
		return desired, files, append(diags, configrepo.UnreadWarnings(rev)...)
	}
	return configrepo.DecodeHead(ctx, s, a.ConfigDir, rev)
}

// passedOver says so where a certroll.hcl lies where one is looked for.
func (a *Planner) passedOver() string {
	if _, err := os.Stat(settings.DefaultFile); err != nil || a.ConfigFile != "" {
		return ""
	}
	return "; the one in this directory was not read, as a pull request could have brought it: name it where it can be trusted"
}

// readBase reads what the change is compared with, where it is.
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
	base, files, diags := configrepo.DecodeInForce(ctx, s, rev.Files) // which is merged
	if diags.HasErrors() {
		view.Diagnostics(a.Err, a.Palette(), files, diags)
		return fmt.Errorf("reading what the change is compared with: %s has the mistakes above; mend them there first, or plan without --base", both.ref)
	}
	configrepo.NoteUnread(base, rev)
	both.base = base
	return nil
}

// baseRevision reads what the change is compared with: from the checkout that
// holds the directory, or from repo.url.
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
	rev, err = src.Fetch(ctx)
	return rev, true, err
}

// observe looks at what is there for both sides.
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

// observeOffline takes the ledger's word for what is there.
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

// offlineLedger finds the ledger without a secret: in the checkout, whose
// repository holds its branch unless ledger.url names another, else there.
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

// fetchedLedger is the ledger as the checkout last fetched it.
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

// emptyTree is a ledger with nothing in it.
type emptyTree struct{}

func (emptyTree) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// decide plans, and builds what is shown.
func (p *Proposal) decide(ctx context.Context, in Input, s *settings.Settings, both *sides) error {
	warnings := append(p.View.Warnings, both.warnings...)
	offline := p.View.Offline
	var remarks []review.Note
	var change *view.Change
	about := []string{}
	if both.base == nil {
		p.Actions = plan.Plan(both.head, p.Observed, p.Now)
		p.NotRead = plan.NotRead(p.Actions)
		for _, a := range p.Actions {
			if a.Kind != ledger.KindNone && a.Spec != nil {
				about = append(about, a.Certificate)
			}
		}
	} else {
		set := review.ChangeOf(both.base, both.head, p.Observed, p.Now)
		p.Actions = set.Planned
		remarks = review.Notes(set, both.base, both.head, spec.NewLocator(configrepo.SpecFiles(both.rev.Files)), s.Interval)
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
		remarks = append(remarks, in.look(ctx, both.head, about)...)
		review.SortNotes(remarks)
	}
	p.View = view.NewPlan(both.rev.Commit, p.Now, p.Actions, warnings)
	p.View.Offline, p.View.Change, p.View.Review = offline, change, view.NewRemarks(both.directory, remarks)
	return ctx.Err()
}

// NotReadErrors say which certificates are held for that, one error for each; nil
// where there are none.
func NotReadErrors(actions []plan.Action) error {
	var errs []error
	for _, a := range actions {
		errs = append(errs, fmt.Errorf("certificate %q is held: %s", a.Certificate, a.Detail))
	}
	return errors.Join(errs...)
}
