package gitsync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
)

// Checkout is the repository of a work tree, for use in CI. It reads the object database
// directly. It runs no git program, so no hook or configuration of a pull request can run
// code.
type Checkout struct {
	repo  *git.Repository
	objs  *objects.DB
	head  plumbing.Hash
	below string // the directory, relative to the root of the work tree
	doing string
}

// OpenCheckout opens the repository that contains a directory.
func OpenCheckout(dir string) (*Checkout, error) {
	doing := "reading the Git repository of " + dir
	repo, objs, err := objects.OpenLocal(context.Background(), dir, true, localBounds())
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, fault.BadSetting(doing, "the directory is in no Git work tree", "check it out with git, or leave --config-dir out: repo.url is then asked")
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err}
	}
	c := &Checkout{repo: repo, objs: objs, doing: doing}
	head, err := repo.Head()
	if err != nil {
		return nil, &fault.Error{Kind: fault.RefNotFound, Doing: doing, Detail: "HEAD stands for no commit: " + err.Error(), Err: err}
	}
	c.head = head.Hash()
	if c.below, err = belowRoot(repo, dir); err != nil {
		return nil, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err}
	}
	if c.below == ".." || strings.HasPrefix(c.below, "../") {
		return nil, fault.BadSetting(doing, "the directory leads out of the work tree, by a symbolic link", "name the directory itself")
	}
	return c, nil
}

// belowRoot returns dir relative to the work tree's root.
func belowRoot(repo *git.Repository, dir string) (string, error) {
	tree, err := repo.Worktree()
	if err != nil {
		return "", err
	}
	return relative(tree.Filesystem.Root(), dir)
}

// Base reads the revision to compare HEAD with: the commit at which HEAD forked from ref.
// Later commits on ref are no part of the change. If the local history does not reach the
// fork, as in a shallow clone, Base reads ref itself and whole is false. A missing
// directory has no files.
func (c *Checkout) Base(ref string) (rev *Revision, whole bool, err error) {
	doing := fmt.Sprintf("finding %s in the checkout", ref)
	at, err := c.repo.ResolveRevision(plumbing.Revision(ref))
	if err == nil {
		*at, err = c.objs.Peel(*at)
	}
	if err != nil {
		return nil, false, &fault.Error{Kind: fault.RefNotFound, Doing: doing, Detail: err.Error(), Err: err,
			Advice: "fetch it (in CI: a checkout with its whole history, as fetch-depth: 0 gives), and check its spelling"}
	}
	commit, whole := c.fork(*at)
	doing = fmt.Sprintf("reading commit %s of the checkout", short(commit))
	rev, err = readRevision(c.objs, commit, c.below, doing, Limits{}.withDefaults())
	if fault.Is(err, fault.Invalid) { // the directory does not exist yet
		var at *object.Commit
		if at, err = c.objs.Commit(commit); err == nil {
			rev = describe(at)
		}
	}
	var ours *fault.Error
	if err != nil && !errors.As(err, &ours) {
		err = &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err,
			Advice: "a partial clone lacks the files: fetch them without a filter"}
	}
	if err != nil {
		return nil, false, err
	}
	rev.Directory = c.below
	return rev, whole, nil
}

// fork returns the commit at which HEAD forked from another commit.
func (c *Checkout) fork(from plumbing.Hash) (plumbing.Hash, bool) {
	ours, err := c.objs.Commit(c.head)
	if err != nil {
		return from, false
	}
	theirs, err := c.objs.Commit(from)
	if err != nil {
		return from, false
	}
	common, err := ours.MergeBase(theirs)
	if err != nil || len(common) == 0 {
		return from, false
	}
	// After criss-cross merges there are several; any of them precedes the change.
	return common[0].Hash, true
}

// Ledger returns the tree of a ledger's branch as the checkout last fetched it, with the
// commit and its time. The error matches fs.ErrNotExist if the checkout never fetched the
// branch.
func (c *Checkout) Ledger(branch, directory string) (tree fs.FS, commit string, at time.Time, err error) {
	if branch == "" {
		branch = DefaultBranch
	}
	doing := fmt.Sprintf("reading the ledger's branch %s in the checkout", branch)
	if directory, err = cleanDirectory(directory); err != nil {
		return nil, "", at, err
	}
	hash, err := c.branch(branch)
	if err != nil {
		return nil, "", at, err
	}
	head, err := c.objs.Commit(hash)
	if err == nil {
		tree = objects.NewTreeFS(c.objs, head.TreeHash, head.Committer.When)
		if directory != "" {
			tree, err = fs.Sub(tree, directory)
		}
	}
	if err != nil {
		return nil, "", at, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err}
	}
	return tree, hash.String(), head.Committer.When.UTC(), nil
}

// branch returns the head of a branch: of the remote origin, of another remote, or of the
// local branch, in this order.
func (c *Checkout) branch(name string) (plumbing.Hash, error) {
	all, err := localRefs(c.repo)
	if err != nil {
		return plumbing.ZeroHash, &fault.Error{Kind: fault.Failed, Doing: c.doing, Detail: err.Error(), Err: err}
	}
	candidates := []string{"refs/remotes/origin/" + name}
	for ref := range all.byName {
		if rest, ok := strings.CutPrefix(ref, "refs/remotes/"); ok && strings.HasSuffix(rest, "/"+name) {
			candidates = append(candidates, ref)
		}
	}
	slices.Sort(candidates[1:])
	for _, ref := range append(candidates, "refs/heads/"+name) {
		if h, ok := all.byName[ref]; ok {
			return h, nil
		}
	}
	return plumbing.ZeroHash, &fault.Error{Kind: fault.RefNotFound, Doing: c.doing, Detail: "it has no branch " + name, Advice: "fetch it", Err: fs.ErrNotExist}
}
