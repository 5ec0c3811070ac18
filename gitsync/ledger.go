package gitsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"golang.org/x/sync/semaphore"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
	"certroll/gitsync/remote"
	"certroll/gitsync/signature"
)

// LedgerOptions say where the ledger is and who writes it.
type LedgerOptions struct {
	URL         string
	Branch      string // "certroll/status" unless set; a full name may lie outside refs/heads/, as refs/certroll/status
	Directory   string // everything is below it; empty: the whole tree
	Auth        remote.Auth
	AuthorName  string           // "certroll" unless set
	AuthorEmail string           // "certroll@localhost" unless set
	SigningKey  *signature.Key   // that commits are signed with; nil: they are not
	SkipCI      bool             // commits ask the host to start no pipeline
	CacheDir    string           // keeps objects and the last head seen over restarts; empty: memory
	Now         func() time.Time // the time of commits; time.Now unless set
	Timeout     time.Duration    // of one exchange with the remote; five minutes unless set
	Log         *slog.Logger     // of what is wrong with the cache; nil: it is not said
	Tries       int              // how many races one Commit may lose; 40 unless set

	what   string // what errors call it: "the ledger" unless set
	from   string // another branch that this one, which must not be there yet, starts from
	advice string // what to do where a push is refused
}

// DefaultBranch is where a ledger is unless its options say otherwise.
const DefaultBranch = "certroll/status"

// maxLedgerPack bounds one fetch of the ledger.
const maxLedgerPack = 2 << 30

var (
	// ledgerBounds are those of one fetch of the ledger. A file that is too large
	// is not read, and stops nothing: whoever may push there is not to stop
	// renewals.
	ledgerBounds = packfile.Bounds{Pack: maxLedgerPack, Objects: 1_000_000, Object: 512 << 20, Delta: objects.MaxFile, Total: 64 << 30, Lenient: true}
	// historyBounds are those of its whole history, in which each commit has its
	// own version of a long file: the time that the fetch may take bounds those.
	historyBounds = packfile.Bounds{Pack: maxLedgerPack, Objects: 2_000_000, Object: 512 << 20, Delta: objects.MaxFile, Total: 1 << 50, Lenient: true}
)

// Ledger is a branch that several writers add to. It is safe to use side by
// side; commits of one Ledger go one after another.
type Ledger struct {
	turn   *semaphore.Weighted // one at a time, for as long as their contexts last
	o      LedgerOptions
	ref    plumbing.ReferenceName
	remote *remote.Remote
	store  *objects.Store
	tip    plumbing.Hash // where the branch is, by the last listing; zero: nowhere
	asked  ancestry      // the last one that the remote was asked for
	doubts []nextCommit  // of the current Commit, that may have arrived

	mu      sync.Mutex // is not held while the remote is talked to
	rewound *rewind    // nil: all in order
}

// rewind is a head that does not descend from the one seen before.
type rewind struct {
	old, new plumbing.Hash
	told     bool
}

// OpenLedger checks the options as far as that goes without the remote.
func OpenLedger(o LedgerOptions) (*Ledger, error) {
	o = o.withDefaults()
	ref, err := ledgerRef(o.Branch)
	if err != nil {
		return nil, err
	}
	if o.Directory, err = cleanDirectory(o.Directory); err != nil {
		return nil, err
	}
	l := &Ledger{turn: semaphore.NewWeighted(1), o: o, ref: ref}
	if l.remote, err = remote.Open(o.URL, o.Auth, o.Timeout); err != nil {
		return nil, err
	}
	if l.store, err = objects.Open(o.CacheDir, objects.LedgerPurpose, l.remote.Location.String()+"\n"+ref.String(), ledgerBounds, o.Log); err != nil {
		return nil, err
	}
	if s := l.store.State; !s.Head.IsZero() && s.Seen != s.Head {
		// An earlier process noticed, and ended before it could be told.
		l.rewound = &rewind{old: s.Seen, new: s.Head}
	}
	return l, nil
}

// ledgerRef is the full name of a branch, or of a ref outside refs/heads/,
// which no host's branch protection knows of.
func ledgerRef(branch string) (plumbing.ReferenceName, error) {
	ref := plumbing.ReferenceName(branch)
	if !strings.HasPrefix(branch, "refs/") {
		ref = plumbing.NewBranchReferenceName(branch)
	}
	if ref.Validate() != nil || ref.IsTag() || ref.IsRemote() {
		return "", fault.BadSetting("reading the ledger's branch", fmt.Sprintf("%q is no name of a branch", branch), "")
	}
	return ref, nil
}

func (o LedgerOptions) withDefaults() LedgerOptions {
	if o.Branch == "" {
		o.Branch = DefaultBranch
	}
	if o.AuthorName == "" {
		o.AuthorName = "certroll"
	}
	if o.AuthorEmail == "" {
		o.AuthorEmail = "certroll@localhost"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tries <= 0 {
		o.Tries = 40
	}
	o.what = cmp.Or(o.what, "the ledger")
	o.advice = cmp.Or(o.advice, "or give the ledger a branch or repository of its own")
	return o
}

// Close gives the cache back.
func (l *Ledger) Close() error {
	_ = l.turn.Acquire(context.Background(), 1) // who has it has a context
	defer l.turn.Release(1)
	l.remote.Close()
	return l.store.Close()
}

// Snapshot fetches and gives the tree below the ledger's directory, which
// stays as it is whatever is committed later, and the branch's head. A branch
// that is not there yet is an empty tree and "".
func (l *Ledger) Snapshot(ctx context.Context) (tree fs.FS, head string, err error) {
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return nil, "", l.remote.Explain(ctx, l.doing("fetching"), err)
	}
	defer l.turn.Release(1)
	if err := l.sync(ctx); err != nil {
		return nil, "", err
	}
	if tree, _, err = l.tree(); err != nil {
		_ = l.store.Spoil(err)
		if err = l.sync(ctx); err == nil { // fetches all of it again
			tree, _, err = l.tree()
		}
	}
	if err != nil {
		return nil, "", l.remote.Explain(ctx, l.doing("reading"), objects.OnCache("reading the Git cache", err))
	}
	if h := l.store.State.Head; !h.IsZero() {
		head = h.String()
	}
	return tree, head, nil
}

// Rewound tells of a branch that moved backwards, was rewritten or was
// deleted: the last head that was in order, and the first seen that does not
// descend from it ("" for a deleted branch). It goes on telling, over restarts
// too where there is a cache directory, until a commit of ours stands on the
// branch after somebody asked: that commit is where to say so.
func (l *Ledger) Rewound() (old, now string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rewound == nil {
		return "", "", false
	}
	l.rewound.told = true
	if !l.rewound.new.IsZero() {
		now = l.rewound.new.String()
	}
	return l.rewound.old.String(), now, true
}

// Place names the branch and directory, without anything secret.
func (l *Ledger) Place() string {
	return l.remote.Location.String() + " " + l.ref.String() + " " + l.o.Directory
}

func (l *Ledger) doing(what string) string {
	return fmt.Sprintf("%s %s %s at %s", what, l.o.what, l.name(), l.remote.Location)
}

// name is how a person calls the branch.
func (l *Ledger) name() string {
	if l.ref.IsBranch() {
		return l.ref.Short()
	}
	return l.ref.String()
}

// tree is the ledger's directory in the head, and the whole tree's hash.
func (l *Ledger) tree() (fs.FS, plumbing.Hash, error) {
	head := l.store.State.Head
	if head.IsZero() {
		return objects.NewTreeFS(l.store.DB, plumbing.ZeroHash, time.Time{}), plumbing.ZeroHash, nil
	}
	c, err := l.store.Commit(head)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	below, err := objects.Subtree(l.store.DB, c.TreeHash, l.o.Directory)
	return objects.NewTreeFS(l.store.DB, below, c.Committer.When), c.TreeHash, err
}

// damaged notes that the cache cannot be read, so that the next sync mends it.
func (l *Ledger) damaged(ctx context.Context, err error) error {
	return l.remote.Explain(ctx, l.doing("reading"), l.store.Spoil(err))
}

// sync brings the head and all its files here: again where what is here cannot be
// read, and into memory where the disk does not take it.
func (l *Ledger) sync(ctx context.Context) error {
	if err := l.store.Damage(); err != nil {
		if err := l.store.Mend(err); err != nil {
			l.store.Abandon(err)
		}
	}
	err := l.syncOnce(ctx)
	if objects.IsCacheError(err) && !l.store.InMemory() && ctx.Err() == nil {
		l.store.Abandon(err)
		err = l.syncOnce(ctx)
	}
	return err
}

func (l *Ledger) syncOnce(ctx context.Context) error {
	ctx, cancel := l.remote.Bound(ctx)
	defer cancel()
	doing := l.doing("fetching")
	c, err := l.remote.List(ctx, doing)
	if err != nil {
		return err
	}
	defer c.Close()
	head, was := l.find(c.Adv), l.store.State.Head
	switch {
	case head == was && !head.IsZero():
		return nil
	case head.IsZero():
		err = l.gone()
	case was.IsZero():
		err = l.clone(ctx, c, head)
	default:
		err = l.update(ctx, c, head)
	}
	if err != nil {
		return l.remote.Explain(ctx, doing, err)
	}
	return nil
}

// find notes where the branch is, and gives the commit to go on from: its own,
// or that of the branch it starts from.
func (l *Ledger) find(adv *packp.AdvRefs) plumbing.Hash {
	l.tip = adv.References[l.ref.String()]
	if l.tip.IsZero() && l.o.from != "" {
		return adv.References[l.o.from]
	}
	return l.tip
}

// gone takes up that the branch is not there, or not any more.
func (l *Ledger) gone() error {
	l.judge(plumbing.ZeroHash, false)
	if l.store.State.Head.IsZero() {
		return nil
	}
	if err := l.store.Renew(); err != nil {
		return err
	}
	l.store.Settle()
	return nil
}

// update fetches what is new since the head that is here: without a depth, so
// that it shows whether the new head descends from it.
func (l *Ledger) update(ctx context.Context, c *remote.Conversation, head plumbing.Hash) error {
	was := l.store.State
	size, err := c.Fetch(ctx, remote.Wish{
		Want: []plumbing.Hash{head}, Have: []plumbing.Hash{was.Head}, Shallow: was.Cut, MaxBytes: maxLedgerPack,
	}, l.store.DB)
	if err == nil {
		_, err = l.store.Commit(head)
	}
	if err == nil {
		l.judge(head, l.store.Descends(head, was.Head, plumbing.ZeroHash))
		l.store.Advance(head, objects.PackWeight, size)
		return nil
	}
	if ctx.Err() != nil || errors.Is(err, packfile.ErrTooLarge) || objects.IsCacheError(err) {
		return err
	}
	// A damaged cache, or a remote that cannot continue from it: start over.
	c.Close()
	if err := l.store.Renew(); err != nil {
		return err
	}
	again, err := l.remote.List(ctx, l.doing("fetching"))
	if err != nil {
		return err
	}
	defer again.Close()
	return l.clone(ctx, again, l.find(again.Adv))
}

// clone fetches the head alone into an empty store.
func (l *Ledger) clone(ctx context.Context, c *remote.Conversation, head plumbing.Hash) error {
	if head.IsZero() {
		return l.gone()
	}
	w := remote.Wish{Want: []plumbing.Hash{head}, Depth: 1, MaxBytes: maxLedgerPack}
	if len(l.doubts) > 0 {
		w.Depth = 0 // the branch is new, and may have begun with a commit of ours
	}
	size, err := c.Fetch(ctx, w, l.store.DB)
	if err != nil {
		return err
	}
	if _, err := l.store.Commit(head); err != nil {
		return err
	}
	inOrder := true
	if seen := l.store.State.Seen; !seen.IsZero() && seen != head {
		if inOrder, err = connects(ctx, l.remote, l.doing("fetching"), head, seen, maxLedgerPack); err != nil {
			return err
		}
	}
	l.judge(head, inOrder)
	l.store.Advance(head, objects.PackWeight, size)
	return nil
}

// judge remembers the head as seen where it is in order, and as rewound where
// it is not.
func (l *Ledger) judge(head plumbing.Hash, inOrder bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.store.State.Seen
	switch {
	case l.rewound != nil:
		l.rewound.new = head
	case seen.IsZero() || inOrder:
		l.store.State.Seen = head
	default:
		l.rewound = &rewind{old: seen, new: head}
	}
}
