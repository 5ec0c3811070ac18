package gitsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/gitsync/fault"
	"certroll/gitsync/remote"
	"certroll/spec/text"
)

// SeedOptions describe the branch of a config repo for the first files, and the author of
// that commit.
type SeedOptions struct {
	URL         string
	Branch      string // created if the repository has no branch yet
	Auth        remote.Auth
	AuthorName  string
	AuthorEmail string
	Timeout     time.Duration // of one exchange with the remote; five minutes unless set
}

// OpenSeed opens a branch for adding files. It returns an error if the repository has other
// branches but not this one: certroll would not read the files there, and the branch would
// start a second history. The default branch of a ledger does not count.
func OpenSeed(ctx context.Context, o SeedOptions) (*Ledger, error) {
	l, err := OpenLedger(LedgerOptions{
		URL: o.URL, Branch: o.Branch, Auth: o.Auth, AuthorName: o.AuthorName, AuthorEmail: o.AuthorEmail, Timeout: o.Timeout,
		what: "the config repo", advice: "or write the files into a clone with --dir, and open a pull request",
	})
	if err != nil {
		return nil, err
	}
	if err := l.onlyBranch(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// onlyBranch checks that the branch exists, or that no other branch does.
func (l *Ledger) onlyBranch(ctx context.Context) error {
	ctx, cancel := l.remote.Bound(ctx)
	defer cancel()
	doing := l.doing("looking for")
	c, err := l.remote.List(ctx, doing)
	if err != nil {
		return err
	}
	defer c.Close()
	var others []string
	for name := range c.Adv.References {
		switch ref := plumbing.ReferenceName(name); {
		case ref == l.ref:
			return nil
		// A ledger's default branch holds no certificates, so it does not count.
		case ref.IsBranch() && ref.Short() != DefaultBranch:
			others = append(others, ref.Short())
		}
	}
	if len(others) == 0 {
		return nil
	}
	slices.Sort(others)
	return &fault.Error{Kind: fault.RefNotFound, Doing: doing, Detail: fmt.Sprintf("there is no branch %s, and the repository has others: %s", l.ref.Short(), text.Some(others, 5)),
		Advice: "name the branch that holds the certificates with --repo-ref"}
}

// Declared returns the *.hcl files of a directory of a tree, with paths relative to it,
// under the rules and default limits of a Source. It returns none if there is no such
// directory.
func Declared(tree fs.FS, directory string) ([]File, error) {
	doing := "reading " + cmp.Or(directory, "the files") + " of the config repo"
	if _, err := fs.Stat(tree, cmp.Or(directory, ".")); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	below, err := fs.Sub(tree, cmp.Or(directory, "."))
	if err != nil {
		return nil, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err}
	}
	files, err := readFiles(below, nil, &tally{Limits: Limits{}.withDefaults(), doing: doing}, &unread{}, false)
	var ours *fault.Error
	if err != nil && !errors.As(err, &ours) {
		return nil, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err}
	}
	return files, err
}
