package gitsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"certroll/gitsync/fault"
	"certroll/gitsync/remote"
)

// ReviseOptions name the branch of the config repo to change, and the author.
type ReviseOptions struct {
	URL         string
	Ref         string // a branch; empty: the branch of the remote's HEAD
	NewBranch   string // if set, the commit goes to this new branch, which starts at Ref
	Directory   string // only this sub-directory; empty: all
	Auth        remote.Auth
	AuthorName  string // a person
	AuthorEmail string
	Now         func() time.Time // the time of the commit; time.Now unless set
	Timeout     time.Duration    // of one exchange with the remote; five minutes unless set
	Limits      Limits
}

// Revised is the pushed commit.
type Revised struct {
	Commit string
	Branch string // the branch that has the commit
	From   string // the branch that a new branch started from; else ""
}

// Revise runs edit on the *.hcl files of the config repo, and pushes the returned files, by
// path, as one commit. If another person pushed first, edit runs again on the new files.
// Revise never overwrites commits of others, and NewBranch must not exist yet.
func Revise(ctx context.Context, o ReviseOptions, message string, edit func(files []File) (map[string][]byte, error)) (Revised, error) {
	branch, err := o.branch(ctx)
	if err != nil {
		return Revised{}, err
	}
	l := LedgerOptions{
		URL: o.URL, Branch: branch.Short(), Directory: o.Directory, Auth: o.Auth, AuthorName: o.AuthorName, AuthorEmail: o.AuthorEmail,
		Now: o.Now, Timeout: o.Timeout, what: "the branch", advice: "or commit to a branch of its own and open a pull request from that",
	}
	done := Revised{Branch: branch.Short()}
	if o.NewBranch != "" {
		l.Branch, l.from = o.NewBranch, branch.String()
		done.Branch, done.From = strings.TrimPrefix(o.NewBranch, "refs/heads/"), branch.Short()
	}
	ledger, err := OpenLedger(l)
	if err != nil {
		return Revised{}, err
	}
	defer func() { _ = ledger.Close() }()
	done.Commit, err = ledger.Commit(ctx, message, func(tree fs.FS) (map[string][]byte, error) {
		files, err := o.files(tree, ledger.doing("reading"))
		if err != nil {
			return nil, err
		}
		return edit(files)
	})
	return done, err
}

// files returns the *.hcl files of the tree. No files are an error: the directory or the
// branch is probably misspelled.
func (o ReviseOptions) files(tree fs.FS, doing string) ([]File, error) {
	files, err := readFiles(tree, nil, &tally{Limits: o.Limits.withDefaults(), doing: doing}, &unread{}, false)
	var ours *fault.Error
	switch {
	case errors.As(err, &ours):
		return nil, ours
	case err != nil:
		return nil, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err}
	case len(files) == 0:
		return nil, fault.BadSetting(doing, fmt.Sprintf("there are no *.hcl files below %q", o.Directory+"/"), "check the directory's name and the branch")
	}
	return files, nil
}

// branch returns the full name of the branch that Ref names. The branch must exist.
func (o ReviseOptions) branch(ctx context.Context) (plumbing.ReferenceName, error) {
	r, err := remote.Open(o.URL, o.Auth, o.Timeout)
	if err != nil {
		return "", err
	}
	defer r.Close()
	ctx, cancel := r.Bound(ctx)
	defer cancel()
	doing := fmt.Sprintf("looking for the branch to change at %s", r.Location)
	c, err := r.List(ctx, doing)
	if err != nil {
		return "", err
	}
	defer c.Close()
	name, err := branchNamed(c.Adv, o.Ref)
	if err == nil {
		return name, nil
	}
	e := fault.BadSetting(doing, fmt.Sprintf("%s: %s", cmp.Or(o.Ref, "HEAD"), err), "a change is committed to a branch: name one that is there")
	if errors.Is(err, errNoRef) {
		e.Kind = fault.RefNotFound
	}
	return "", e
}

// branchNamed returns the branch for a ref of SourceOptions.
func branchNamed(adv *packp.AdvRefs, ref string) (plumbing.ReferenceName, error) {
	if ref == "" || ref == "HEAD" {
		for _, link := range adv.Capabilities.Get(capability.SymRef) {
			if to, ok := strings.CutPrefix(link, "HEAD:"); ok && strings.HasPrefix(to, "refs/heads/") {
				return plumbing.ReferenceName(to), nil
			}
		}
		return "", errors.New("it names no branch at the remote")
	}
	if _, err := resolve(advertised(adv), ref); err != nil {
		return "", err
	}
	full := plumbing.ReferenceName(ref)
	if !strings.HasPrefix(ref, "refs/") {
		full = plumbing.NewBranchReferenceName(ref)
	}
	_, there := adv.References[full.String()]
	switch {
	case there && full.IsBranch():
		return full, nil
	case isHash(ref):
		return "", errors.New("it is a commit, not a branch")
	case !there || full.IsTag():
		return "", errors.New("it is a tag, not a branch")
	default:
		return "", errors.New("it is no branch")
	}
}

// GlobalAuthor returns the name and address in the user's own Git configuration, each "" if
// unset. go-git does not read included files.
func GlobalAuthor() (name, email string, err error) {
	c, err := config.LoadConfig(config.GlobalScope)
	if err != nil {
		return "", "", &fault.Error{Kind: fault.Failed, Doing: "reading the user's Git configuration", Detail: err.Error(), Err: err}
	}
	return c.User.Name, c.User.Email, nil
}
