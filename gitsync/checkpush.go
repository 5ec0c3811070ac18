package gitsync

import (
	"context"
	"errors"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"certroll/gitsync/fault"
)

// CheckPush tells whether the remote lets certroll push at all, and whether another
// ref stands in the branch's way; it pushes nothing. A host refuses a key that is
// read-only as soon as somebody asks to push. Hooks and the protection of branches
// show only when something is pushed.
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
	for other := range adv.References {
		if strings.HasPrefix(ref, other+"/") || strings.HasPrefix(other, ref+"/") {
			return &fault.Error{Kind: fault.Refused, Doing: doing, Detail: "the ref " + other + " is there, and Git has no room for " + ref + " beside it",
				Advice: "delete or rename " + other + ", or set ledger.branch to another name"}
		}
	}
	return nil
}
