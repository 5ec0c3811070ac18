package gitsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
	"certroll/gitsync/remote"
	"certroll/spec/await"
	"certroll/spec/text"
)

// Commit runs edit on the newest tree of the ledger's directory, and pushes the returned
// files as one commit. A nil slice deletes the file. If nothing changes, Commit pushes
// nothing and returns "".
//
// If another writer pushed first, Commit fetches and runs edit again on the new tree, so
// edit must derive its result from that tree alone. If the connection breaks during a push,
// the push may have arrived. Commit then checks the branch and does not push twice. Only if
// it cannot reach the remote for this check does it return an error for a commit that may
// be on the branch. To make another call of Commit safe, edit leaves out changes that the
// tree has already.
func (l *Ledger) Commit(ctx context.Context, message string, edit func(tree fs.FS) (map[string][]byte, error)) (commit string, err error) {
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return "", l.remote.Explain(ctx, l.doing("pushing"), err)
	}
	defer l.turn.Release(1)
	message = strings.TrimSpace(strings.ReplaceAll(message, "\x00", ""))
	if message == "" {
		return "", fault.BadSetting(l.doing("committing to"), "the message is empty", "")
	}
	if l.o.SkipCI {
		message = withSkipCI(message)
	}
	l.doubts = nil
	bad, mended := 0, false // bad counts stuck and unknown pushes; mended: the cache was damaged once already
	for try := range l.o.Tries {
		if err := pause(ctx, try); err != nil {
			return "", l.remote.Explain(ctx, l.doing("pushing"), err)
		}
		if err := l.sync(ctx); err != nil {
			return "", err
		}
		if d := l.arrived(); d != nil {
			if d.rewindReturned {
				l.acknowledged()
			}
			return d.hash.String(), nil
		}
		// No commit in doubt arrived: build the commit again, on the new head.
		next, err := l.prepare(ctx, message, edit)
		// The cache failed, not the edit. The next sync fetches it again, once.
		if err != nil && !mended && l.store.Damage() != nil {
			mended = true // by the fetch of the next round
			continue
		}
		if err != nil || next == nil {
			return "", err
		}
		switch v, err := l.push(ctx, next); v {
		case pushed:
			return next.hash.String(), nil
		case refused:
			return "", err
		case stuck, unknown:
			if bad++; bad == maxBad {
				return "", err
			}
		}
	}
	return "", &fault.Error{
		Kind: fault.Raced, Doing: l.doing("pushing"),
		Detail: fmt.Sprintf("others pushed first %d times in a row", l.o.Tries),
		Advice: "nothing is lost: certroll retries with the next commit; if this repeats, find out who else writes this branch",
	}
}

// verdict is the result of a push.
type verdict int

const (
	refused verdict = iota // the remote did not accept it, and would not next time
	lost                   // another writer pushed first
	stuck                  // the remote could not lock the branch
	unknown                // no answer came; the remote may have accepted it
	pushed
)

// maxBad is the number of stuck or unknown pushes after which Commit returns the error.
const maxBad = 5

// pause waits longer with each lost race, and for a random time, so that competing writers
// do not stay in step.
func pause(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	most := min(time.Duration(try)*50*time.Millisecond, time.Second)
	return await.Sleep(ctx, rand.N(most))
}

// arrived returns a commit in doubt that is on the branch; nil if there is none. sync has
// just fetched everything since the push.
func (l *Ledger) arrived() *nextCommit {
	head := l.store.State.Head
	for i, d := range l.doubts {
		if !head.IsZero() && l.store.Descends(head, d.hash, d.old) {
			return &l.doubts[i]
		}
	}
	return nil
}

// acknowledged ends a rewind: a commit that records it is on the branch, at or below the
// head.
func (l *Ledger) acknowledged() {
	l.mu.Lock()
	l.rewound = nil
	l.store.State.Seen = l.store.State.Head
	l.mu.Unlock()
	l.store.Settle()
}

// nextCommit is a commit that is ready for the push.
type nextCommit struct {
	old            plumbing.Hash
	hash           plumbing.Hash
	news           []packfile.Object
	rewindReturned bool // a caller of Rewound knew of the rewind, so this commit may record it
}

// prepare runs edit and builds the commit; nil if nothing changes.
func (l *Ledger) prepare(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (*nextCommit, error) {
	if l.o.from != "" && !l.tip.IsZero() {
		return nil, fault.BadSetting(l.doing("making"), "there is such a branch already", "name another one, or delete it")
	}
	tree, root, err := l.tree()
	if err != nil {
		return nil, l.damaged(ctx, err)
	}
	// Before edit: a rewind that is found later is not in the files of this commit.
	rewindReturned := l.rewindIsReturned()
	files, err := edit(tree)
	if err != nil {
		return nil, err
	}
	changes, err := objects.ChangesOf(files, l.o.Directory)
	if err != nil {
		return nil, fault.BadSetting(l.doing("committing to"), err.Error(), "")
	}
	e := &objects.Editor{From: l.store.DB}
	newRoot, err := e.Apply(root, changes)
	if err != nil {
		return nil, l.damaged(ctx, err)
	}
	if newRoot == root {
		return nil, nil
	}
	if newRoot.IsZero() { // the edit deleted the last file; a commit needs a tree
		empty := packfile.NewObject(plumbing.TreeObject, nil)
		newRoot, e.News = empty.Hash, append(e.News, empty)
	}
	c, err := l.commitObject(message, newRoot)
	if err != nil {
		return nil, err
	}
	return &nextCommit{old: l.tip, hash: c.Hash, news: distinct(append(e.News, c)), rewindReturned: rewindReturned}, nil
}

// rewindIsReturned reports whether a call of Rewound returned the current rewind.
func (l *Ledger) rewindIsReturned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rewound != nil && l.rewound.returned
}

// commitObject encodes and signs the commit on top of the head.
func (l *Ledger) commitObject(message string, tree plumbing.Hash) (packfile.Object, error) {
	who := object.Signature{Name: signable(l.o.AuthorName), Email: signable(l.o.AuthorEmail), When: l.o.Now()}
	c := &object.Commit{Author: who, Committer: who, Message: message + "\n", TreeHash: tree}
	if head := l.store.State.Head; !head.IsZero() {
		c.ParentHashes = []plumbing.Hash{head}
	}
	obj := &plumbing.MemoryObject{}
	if err := c.Encode(obj); err != nil {
		return packfile.Object{}, fmt.Errorf("writing the commit: %w", err)
	}
	r, err := obj.Reader()
	if err != nil {
		return packfile.Object{}, fmt.Errorf("writing the commit: %w", err)
	}
	data, err := io.ReadAll(r)
	if err == nil {
		data, err = l.o.SigningKey.Sign(data)
	}
	return packfile.NewObject(plumbing.CommitObject, data), err
}

// skipCI stops the pipelines of GitHub, GitLab, Gitea and Forgejo when a commit message
// contains it.
const skipCI = "[skip ci]"

// withSkipCI inserts skipCI after the first paragraph, so that trailers stay last.
func withSkipCI(message string) string {
	subject, rest, _ := strings.Cut(message, "\n\n")
	return strings.TrimSpace(subject + "\n\n" + skipCI + "\n\n" + strings.TrimLeft(rest, "\n"))
}

// signable removes the characters that would end a name or an address in a commit.
func signable(s string) string {
	return strings.TrimSpace(strings.NewReplacer("<", "", ">", "", "\n", " ", "\x00", "").Replace(s))
}

// distinct removes repeated objects: two files with the same content. A pack must not have
// an object twice.
func distinct(news []packfile.Object) []packfile.Object {
	seen := map[plumbing.Hash]bool{}
	out := news[:0]
	for _, n := range news {
		if !seen[n.Hash] {
			seen[n.Hash] = true
			out = append(out, n)
		}
	}
	return out
}

// push sends the commit. For the verdicts refused, stuck and unknown the error is the one
// to give up with.
func (l *Ledger) push(whole context.Context, next *nextCommit) (verdict, error) {
	ctx, cancel := l.remote.Bound(whole)
	defer cancel()
	doing := l.doing("pushing")
	session, err := l.remote.Receive(ctx)
	if err != nil {
		return refused, l.remote.Explain(ctx, doing, err)
	}
	defer func() { _ = session.Close() }()
	adv, err := session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		adv, err = packp.NewAdvRefs(), nil
	}
	if err != nil {
		return refused, l.remote.Explain(ctx, doing, err)
	}
	// The remote checks the old hash again; this check saves sending the pack.
	if adv.References[l.ref.String()] != next.old {
		return lost, nil
	}
	var said remote.Words
	req, err := l.request(adv.Capabilities, next, &said)
	if err != nil {
		return refused, l.remote.Explain(ctx, doing, err)
	}
	report, err := session.ReceivePack(ctx, req)
	switch {
	case err == nil && report != nil:
		l.settled(next)
		return pushed, nil
	// The caller gave up. The push may have arrived: the contract on edit makes another
	// Commit safe.
	case whole.Err() != nil:
		return refused, fault.OfContext(whole, doing)
	case report != nil:
		return l.declined(ctx, next, report, said.String())
	default:
		return l.unanswered(ctx, next, err, said.String())
	}
}

// request asks the remote to compare and swap the branch (old hash, new hash), with a pack
// of only the new objects.
func (l *Ledger) request(caps *capability.List, next *nextCommit, said *remote.Words) (*packp.ReferenceUpdateRequest, error) {
	pack, err := packfile.Of(next.news, !caps.Supports("no-thin"))
	if err != nil {
		return nil, err
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(caps)
	req.Commands = []*packp.Command{{Name: l.ref, Old: next.old, New: next.hash}}
	req.Packfile = io.NopCloser(bytes.NewReader(pack))
	req.Progress = said
	for _, c := range []capability.Capability{capability.Sideband64k, capability.Sideband} {
		if caps.Supports(c) {
			return req, req.Capabilities.Set(c)
		}
	}
	return req, nil
}

// settled makes a pushed commit the head, and ends a rewind that the commit records.
func (l *Ledger) settled(next *nextCommit) {
	s := l.store
	l.mu.Lock()
	if next.rewindReturned {
		l.rewound = nil
	}
	if l.rewound != nil {
		l.rewound.new = next.hash
	} else {
		s.State.Seen = next.hash
	}
	l.mu.Unlock()
	s.KeepPushed(next.hash, next.news)
}

// declined handles a push that the remote rejected: a lost race if the branch moved, else a
// refusal.
func (l *Ledger) declined(ctx context.Context, next *nextCommit, report *packp.ReportStatus, said string) (verdict, error) {
	status := report.UnpackStatus
	for _, c := range report.CommandStatuses {
		if c.Status != "ok" {
			status = c.Status
		}
	}
	moved, err := l.moved(ctx, next.old)
	switch {
	case err != nil:
		return refused, err
	case moved:
		// Perhaps this very commit moved it: a proxy may have sent the request twice.
		l.doubts = append(l.doubts, *next)
		return lost, nil
	}
	err = &fault.Error{
		Kind: fault.Refused, Doing: l.doing("pushing"),
		Detail: text.Line(l.remote.Struck(status)), Said: fault.Lines(l.remote.Struck(said)),
		Advice: "let this user push to " + l.name() + " (branch protection, push rules, hooks), " + l.o.advice,
	}
	if isLockFault(status + said) {
		return stuck, err
	}
	return refused, err
}

// isLockFault reports git's messages for a ref that another process is writing, or for a
// branch whose name excludes this one.
func isLockFault(words string) bool {
	words = strings.ToLower(words)
	for _, w := range []string{"cannot lock ref", "failed to update ref", "reference already exists", ".lock': file exists", "failed to lock", "stale info"} {
		if strings.Contains(words, w) {
			return true
		}
	}
	return false
}

// moved reports whether the branch is no longer at old.
func (l *Ledger) moved(ctx context.Context, old plumbing.Hash) (bool, error) {
	c, err := l.remote.List(ctx, l.doing("pushing"))
	if err != nil {
		return false, err
	}
	defer c.Close()
	return c.Adv.References[l.ref.String()] != old, nil
}

// unanswered handles a push without a report. After a failed login nothing was pushed.
// After any other error the remote may have accepted the push.
func (l *Ledger) unanswered(ctx context.Context, next *nextCommit, err error, said string) (verdict, error) {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	if said != "" {
		err = &remote.SaidError{Said: said, Err: err}
	}
	rewindReturned := l.remote.Explain(ctx, l.doing("pushing"), err)
	if fault.Is(rewindReturned, fault.Denied) || fault.Is(rewindReturned, fault.NotFound) {
		return refused, rewindReturned
	}
	l.doubts = append(l.doubts, *next)
	return unknown, rewindReturned
}
