package gitsync

import (
	"context"
	"errors"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"certroll/gitsync/fault"
)

// CheckPush reports whether the remote accepts a push at all, and whether another ref
// blocks the branch's name. It pushes nothing. A host rejects a read-only key at the start
// of a push. Hooks and branch protection act only on a real push, so CheckPush cannot find
// them.
func (l *Ledger) CheckPush(whole context.Context) error {
	ctx, cancel := l.remote.Bound(whole)
	defer cancel()
	doing := l.doing("asking to push")
	session, err := l.remote.Receive(ctx)
	if err != nil {
		return l.remote.Explain(ctx, doing, err)
	}
	defer func() { _ = session.Close() }()
	adv, err := session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		adv, err = packp.NewAdvRefs(), nil
	}
	if err != nil {
		return l.remote.Explain(ctx, doing, err)
	}
	ref := l.ref.String()
	// Git stores refs as paths, so refs/heads/a and refs/heads/a/b exclude each other.
	for other := range adv.References {
		if strings.HasPrefix(ref, other+"/") || strings.HasPrefix(other, ref+"/") {
			return &fault.Error{Kind: fault.Refused, Doing: doing, Detail: "the ref " + other + " is there, and Git has no room for " + ref + " beside it",
				Advice: "delete or rename " + other + ", or set ledger.branch to another name"}
		}
	}
	return nil
}
