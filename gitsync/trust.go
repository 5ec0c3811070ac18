package gitsync

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
	"certroll/gitsync/signature"
)

// Follows checks that a revision descends from the last accepted commit, good; otherwise it
// returns an Error with Held set. It accepts every revision if good is "". It also accepts
// every revision if the configured ref is a commit hash: the operator chose that commit.
func (s *Source) Follows(ctx context.Context, rev *Revision, good string) error {
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return s.remote.Explain(ctx, s.doing(), err)
	}
	defer s.turn.Release(1)
	if good == rev.Commit || !isHash(good) || isHash(s.o.Ref) {
		return nil
	}
	ctx, cancel := s.remote.Bound(ctx)
	defer cancel()
	old := plumbing.NewHash(good)
	descends, err := s.descends(ctx, plumbing.NewHash(rev.Commit), old)
	switch {
	case err != nil:
		return s.remote.Explain(ctx, s.doing(), err)
	case descends:
		return nil
	}
	return s.held(fault.Rewritten, rev, good,
		fmt.Sprintf("it does not descend from %s, which was taken last: the history was rewritten, or went back", good),
		fmt.Sprintf("look at what it changes (git diff %s %.12s), and if that is right, take it with: certroll accept %[2]s", short(old), rev.Commit))
}

// held returns the Error for a revision that is not accepted, with the author and subject
// that a person needs to judge it.
func (s *Source) held(kind fault.Kind, rev *Revision, old, detail, advice string) *fault.Error {
	return &fault.Error{
		Kind: kind, Doing: fmt.Sprintf("taking commit %s of %s", rev.Commit, s.remote.Location), Advice: advice,
		Detail: fmt.Sprintf("%q by %s: %s", rev.Subject, rev.Author, detail), Held: &fault.Held{Commit: rev.Commit, Author: rev.Author, Old: old},
	}
}

// checkSignature returns an Error with Held set for a commit that none of the signers
// signed.
func (s *Source) checkSignature(objs *objects.DB, head plumbing.Hash) error {
	if s.o.Signers == nil {
		return nil
	}
	raw, err := objs.Read(plumbing.CommitObject, head, packfile.MaxCommit)
	if err != nil {
		return err
	}
	c, err := objs.Commit(head)
	if err != nil {
		return err
	}
	rev := describe(c)
	tree, err := s.o.Signers.Verify(head, raw)
	// go-git parses the commit by itself. The tree that it read must be the signed one.
	if err == nil && tree != c.TreeHash {
		err = errors.New("its tree is read in two ways")
	}
	var keys *signature.UnusableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &keys):
		return fault.BadSetting("reading the keys of accepted signers", keys.Error(), "fix that file: until then certroll accepts no commit")
	case errors.Is(err, signature.ErrUnsigned):
		return s.held(fault.Unsigned, rev, "", err.Error(), "sign it (git commit --amend -S) with a key that verify in certroll.hcl names, and push it")
	}
	return s.held(fault.BadSignature, rev, "", err.Error(), "sign it again with a key that verify in certroll.hcl names, or add the signer's key there; ask its author what happened")
}

// descends reports whether head descends from old. It fetches the history between the two
// if the store lacks it.
func (s *Source) descends(ctx context.Context, head, old plumbing.Hash) (bool, error) {
	if s.store == nil {
		objs, _, err := s.local(ctx)
		if err != nil {
			return false, err
		}
		ok := objs.Descends(head, old, plumbing.ZeroHash)
		if !ok { // a canceled walk proves nothing
			err = ctx.Err()
		}
		return ok, err
	}
	if s.store.Descends(head, old, plumbing.ZeroHash) {
		return true, nil
	}
	// A held head stays for many passes: ask the remote about it once.
	if s.asked.head == head && s.asked.old == old {
		return s.asked.descends, nil
	}
	connected, err := connects(ctx, s.remote, s.doing(), head, old, min(s.o.Limits.Pack, maxBetween))
	if errors.Is(err, packfile.ErrTooLarge) {
		connected, err = false, nil // too much history to check: a person decides
	}
	if err == nil {
		s.asked = ancestry{head, old, connected}
	}
	return connected, err
}
