package main

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

	"certroll/cmd/certroll/console"
	"certroll/cmd/certroll/settings"
	"certroll/cmd/certroll/view"
	"certroll/gitsync"
	"certroll/reconcile"
	"certroll/reconcile/acme"
	"certroll/spec"
)

// planInput says what to plan and on what.
type planInput struct {
	ref     string // instead of repo.ref
	base    string // compare with this; "": plan all
	offline bool   // by the ledger alone
	writing bool   // it is to be applied
	github  bool   // mistakes are printed as annotations too
	dns     bool   // look at the DNS of what the plan is about
	// progress is told what each certificate waits for.
	progress func(certificate, step, detail string)
	// fits may refuse the revision before anybody is asked; nil: any will do.
	fits func(*gitsync.Revision) error
	// look adds remarks of its own to the review: of certificates that the
	// plan is about, or that the change touches. nil: none.
	look func(ctx context.Context, desired *spec.Spec, certificates []string) []reconcile.Remark
}

// proposal is a plan with all that it takes to apply it.
type proposal struct {
	*parts
	settings *settings.Settings
	log      *slog.Logger
	desired  *spec.Spec
	revision *gitsync.Revision
	observed *reconcile.Observed
	now      time.Time // that it was made for
	actions  []reconcile.Action
	notRead  []reconcile.Action // held since their file is not read; with a base: by the change
	exact    bool               // all of the actions are to be done, or it has failed
	dto      view.Plan
}

func (p *proposal) rev() reconcile.Revision {
	return reconcile.Revision{Commit: p.revision.Commit, Author: p.revision.Author}
}

// fresh is the plan as a file of it has it.
func (p *proposal) fresh() freshPlan {
	f := freshPlan{desired: p.desired, revision: p.revision, observed: p.observed, now: p.now, actions: p.actions}
	if p.client != nil {
		f.vault = p.client.Name()
	}
	if p.dto.Change != nil {
		f.only = map[string]bool{}
		for _, c := range p.dto.Change.Certificates {
			f.only[c.Certificate] = true
		}
	}
	return f
}

// planner is what of the program it takes to plan.
type planner struct {
	*console.Console

	configFile, configDir, logLevel string

	version, release string
	settings         func() (*settings.Settings, error)
	logger           func(*settings.Settings) (*slog.Logger, error)
	connect          func(ctx context.Context, s *settings.Settings, log *slog.Logger, writing bool, progress func(string, string, string)) (*parts, error)
}

// sides are the revision that is planned and the one it is compared with.
type sides struct {
	head, base     *spec.Spec
	rev, baseRev   *gitsync.Revision
	warnings       []string
	directory, ref string
}

func (a *planner) plan(ctx context.Context, in planInput) (*proposal, error) {
	s, err := a.settingsFor(in)
	if err != nil {
		return nil, err
	}
	log, err := a.logger(s)
	if err != nil {
		return nil, err
	}
	if in.dns {
		in.look = checkDNS(log, a.version)
	}
	if in.writing {
		if err := acme.CheckProgram(ctx, nil, a.release); err != nil {
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
	p.observed, p.now, p.settings, p.log = obs, time.Now(), s, log
	if err := p.decide(ctx, in, s, both); err != nil {
		p.Close()
		return nil, err
	}
	if p.kv != nil {
		p.dto.Warnings = append(p.dto.Warnings, keepings(ctx, p.kv, p.desired, log)...)
	}
	return p, nil
}

// settingsFor loads certroll.hcl. Offline a directory's own is not taken up
// unless it is named: in the checkout of a fork it is the fork's.
func (a *planner) settingsFor(in planInput) (*settings.Settings, error) {
	if !in.offline || a.configDir == "" || a.configFile != "" {
		return a.settings()
	}
	s := settings.Usual()
	if a.logLevel != "" {
		s.Log.Level = a.logLevel
	}
	return s, nil
}

// sides reads and decodes what is to be planned, and what it is compared with.
func (a *planner) sides(ctx context.Context, s *settings.Settings, in planInput) (*sides, error) {
	signed := s.Verify != nil
	if in.ref != "" {
		if a.configDir != "" {
			return nil, fmt.Errorf("--ref asks repo.url, and --config-dir reads a directory: leave one of them out")
		}
		s.Propose(in.ref)
	}
	rev, err := revision(ctx, s, a.configDir)
	if err == nil && in.fits != nil {
		err = in.fits(rev)
	}
	if err != nil {
		return nil, err
	}
	if in.base != "" && a.configDir != "" {
		rev = rev.InGit()
	}
	both := &sides{rev: rev, directory: rev.Directory, ref: in.base}
	unread := a.readBase(ctx, s, both)
	head, files, diags := a.decodePlanned(ctx, s, in, both)
	view.Briefly(a.Err, a.Palette(), files, diags)
	if in.github {
		view.AnnotateDiagnostics(a.Annotations(), rev.Directory, s.Path(), diags)
	}
	if diags.HasErrors() {
		return nil, console.ErrShown
	}
	withUnread(head, rev)
	both.head = head
	if in.ref != "" && signed {
		both.warnings = append(both.warnings, fmt.Sprintf("whether %s is signed was not looked at: that is asked of the head that is applied", in.ref))
	}
	if a.configDir != "" && signed {
		both.warnings = append(both.warnings, fmt.Sprintf("whether what lies in %s is signed was not looked at: verify in certroll.hcl is about the head of the branch", a.configDir))
	}
	if in.offline && s.File == nil {
		both.warnings = append(both.warnings, "certroll.hcl is not at hand (--config), so whether references, httpreq, webroots and endpoints stay within what the reconciler allows was not checked"+a.passedOver())
	}
	if in.base == "" {
		return both, nil
	}
	if unread != nil {
		return nil, unread
	}
	if err := a.baseSide(ctx, s, both); err != nil {
		return nil, err
	}
	if in.ref == "" && a.configDir == "" && both.baseRev.Commit == rev.Commit {
		return nil, comparesWithItself(s, in.base, rev.Commit)
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
func (a *planner) decodePlanned(ctx context.Context, s *settings.Settings, in planInput, both *sides) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	rev := both.rev
	if in.ref != "" || in.base != "" || in.offline {
		desired, files, diags := decodeChange(ctx, s, rev.Files, both.baseRev)
		return desired, files, append(diags, unreadWarnings(rev)...)
	}
	return decodeHead(ctx, s, a.configDir, rev)
}

// passedOver says so where a certroll.hcl lies where one is looked for.
func (a *planner) passedOver() string {
	if _, err := os.Stat(settings.DefaultFile); err != nil || a.configFile != "" {
		return ""
	}
	return "; the one in this directory was not read, as a pull request could have brought it: name it where it can be trusted"
}

// readBase reads what the change is compared with, where it is.
func (a *planner) readBase(ctx context.Context, s *settings.Settings, both *sides) error {
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

func (a *planner) baseSide(ctx context.Context, s *settings.Settings, both *sides) error {
	rev := both.baseRev
	base, files, diags := decodeInForce(ctx, s, rev.Files) // which is merged
	if diags.HasErrors() {
		view.Diagnostics(a.Err, a.Palette(), files, diags)
		return fmt.Errorf("reading what the change is compared with: %s has the mistakes above; mend them there first, or plan without --base", both.ref)
	}
	withUnread(base, rev)
	both.base = base
	return nil
}

// baseRevision reads what the change is compared with: from the checkout that
// holds the directory, or from repo.url.
func (a *planner) baseRevision(ctx context.Context, s *settings.Settings, ref string) (rev *gitsync.Revision, whole bool, err error) {
	if a.configDir != "" {
		checkout, err := gitsync.OpenCheckout(a.configDir)
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
func (a *planner) observe(ctx context.Context, s *settings.Settings, log *slog.Logger, in planInput, both *sides) (*proposal, *reconcile.Observed, error) {
	p := &proposal{parts: &parts{}, desired: both.head, revision: both.rev}
	if in.offline {
		obs, err := a.observeOffline(ctx, s, p)
		return p, obs, err
	}
	var err error
	if p.parts, err = a.connect(ctx, s, log, in.writing, in.progress); err != nil {
		return nil, nil, err
	}
	looked := both.head
	if both.base != nil {
		looked = reconcile.Union(both.base, both.head)
	}
	obs, err := p.reconciler.Observe(ctx, looked)
	if err == nil && in.writing {
		if asked := p.reconciler.Ask(ctx, both.head, obs); asked != nil {
			fmt.Fprintf(a.Err, "Could not refresh renewal information; using the last known values: %s\n", asked)
		}
	}
	if err != nil {
		p.Close()
		return p, obs, err
	}
	warnUnreadable(a.Console, obs.Unread)
	return p, obs, nil
}

// observeOffline takes the ledger's word for what is there.
func (a *planner) observeOffline(ctx context.Context, s *settings.Settings, p *proposal) (*reconcile.Observed, error) {
	tree, from, warning, err := a.offlineLedger(ctx, s)
	if err != nil {
		return nil, err
	}
	p.dto.Offline, p.dto.Warnings = &from, []string{warning}
	obs, err := reconcile.ObserveRecords(tree, time.Now())
	if err == nil {
		warnUnreadable(a.Console, obs.Unread)
	}
	return obs, err
}

// offlineLedger finds the ledger without a secret: in the checkout, whose
// repository holds its branch unless ledger.url names another, else there.
func (a *planner) offlineLedger(ctx context.Context, s *settings.Settings) (tree fs.FS, from view.Offline, warning string, err error) {
	if a.configDir != "" && s.Ledger.URL == s.Repo.URL {
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
func (a *planner) fetchedLedger(s *settings.Settings) (tree fs.FS, from view.Offline, warning string, err error) {
	checkout, err := gitsync.OpenCheckout(a.configDir)
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
func (p *proposal) decide(ctx context.Context, in planInput, s *settings.Settings, both *sides) error {
	warnings := append(p.dto.Warnings, both.warnings...)
	offline := p.dto.Offline
	var remarks []reconcile.Remark
	var change *view.Change
	about := []string{}
	if both.base == nil {
		p.actions = reconcile.Plan(both.head, p.observed, p.now)
		p.notRead = reconcile.NotRead(p.actions)
		for _, a := range p.actions {
			if a.Kind != reconcile.KindNone && a.Spec != nil {
				about = append(about, a.Certificate)
			}
		}
	} else {
		set := reconcile.ChangeOf(both.base, both.head, p.observed, p.now)
		p.actions = set.Planned
		remarks = reconcile.Remarks(set, both.base, both.head, spec.NewLocator(specFiles(both.rev.Files)), s.Interval)
		change = view.NewChange(view.Base{Ref: both.ref, Revision: both.baseRev.Commit}, both.directory, set)
		for _, c := range set.Certificates {
			switch {
			case c.New != nil:
				about = append(about, c.Name)
			case c.After != nil && c.Old != nil:
				p.notRead = append(p.notRead, reconcile.NotRead([]reconcile.Action{*c.After})...)
			}
		}
	}
	if in.look != nil {
		remarks = append(remarks, in.look(ctx, both.head, about)...)
		reconcile.SortRemarks(remarks)
	}
	p.dto = view.NewPlan(both.rev.Commit, p.now, p.actions, warnings)
	p.dto.Offline, p.dto.Change, p.dto.Review = offline, change, view.NewRemarks(both.directory, remarks)
	return ctx.Err()
}

// notReadErrors say which certificates are held for that, one error for each; nil
// where there are none.
func notReadErrors(actions []reconcile.Action) error {
	var errs []error
	for _, a := range actions {
		errs = append(errs, fmt.Errorf("certificate %q is held: %s", a.Certificate, a.Detail))
	}
	return errors.Join(errs...)
}
