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

// LedgerOptions name the ledger's branch and its author.
type LedgerOptions struct {
	URL         string
	Branch      string // "certroll/status" unless set; a full name may be outside refs/heads/, such as refs/certroll/status
	Directory   string // the directory of all files; empty: the root of the tree
	Auth        remote.Auth
	AuthorName  string           // "certroll" unless set
	AuthorEmail string           // "certroll@localhost" unless set
	SigningKey  *signature.Key   // signs the commits; nil: unsigned
	SkipCI      bool             // commits request that the host starts no pipeline
	CacheDir    string           // keeps objects and the last head across restarts; empty: memory
	Now         func() time.Time // the clock for commit times; time.Now unless set
	Timeout     time.Duration    // of one exchange with the remote; five minutes unless set
	Log         *slog.Logger     // for warnings about the cache; nil: none
	Tries       int              // the number of attempts of one Commit; 40 unless set

	what   string // the name in errors: "the ledger" unless set
	from   string // the branch to start from; then this one must not exist yet
	advice string // the next step for the user after a rejected push
}

// DefaultBranch is the branch of a ledger whose options set none.
const DefaultBranch = "certroll/status"

// maxLedgerPack bounds one fetch of the ledger, in bytes.
const maxLedgerPack = 2 << 30

var (
	// ledgerBounds are the bounds of one fetch of the ledger. They are lenient: a too large
	// file stays unread, and is no error. Otherwise a user who may push there could stop
	// all renewals.
	ledgerBounds = packfile.Bounds{Pack: maxLedgerPack, Objects: 1_000_000, Object: 512 << 20, Delta: objects.MaxFile, Total: 64 << 30, Lenient: true}
	// historyBounds are the bounds of a fetch of the whole history. Each commit has its own
	// version of a long file, so the inflated total is unbounded here; the timeout of the
	// fetch bounds it.
	historyBounds = packfile.Bounds{Pack: maxLedgerPack, Objects: 2_000_000, Object: 512 << 20, Delta: objects.MaxFile, Total: 1 << 50, Lenient: true}
)

// Ledger is a branch that several writers commit to. It is safe for concurrent use, and
// runs one operation at a time.
type Ledger struct {
	turn   *semaphore.Weighted // serializes the operations; waiting for it ends with the caller's context, unlike a mutex
	o      LedgerOptions
	ref    plumbing.ReferenceName
	remote *remote.Remote
	store  *objects.Store
	tip    plumbing.Hash // the branch's head at the last listing; zero: no branch
	asked  ancestry      // the last answer of the remote about ancestry
	doubts []nextCommit  // commits of the current Commit that the remote may have accepted

	mu      sync.Mutex // guards rewound; never held during a request to the remote
	rewound *rewind    // nil: no rewind
}

// rewind is a head, new, that does not descend from the last good one, old.
type rewind struct {
	old, new plumbing.Hash
	// returned is set once Rewound has returned the rewind. Only a later commit ends the
	// rewind: the caller can write an event about it.
	returned bool
}

// OpenLedger checks the options, without connecting to the remote.
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
		l.remote.Close()
		return nil, err
	}
	if s := l.store.State; !s.Head.IsZero() && s.Seen != s.Head {
		// An earlier process saw a rewind, and ended before a commit recorded it.
		l.rewound = &rewind{old: s.Seen, new: s.Head}
	}
	return l, nil
}

// ledgerRef returns the full name of a branch, or of a ref outside refs/heads/. A host's
// branch protection does not apply to the latter.
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
	// With the waits of pause, 40 lost races take about 15 seconds.
	if o.Tries <= 0 {
		o.Tries = 40
	}
	o.what = cmp.Or(o.what, "the ledger")
	o.advice = cmp.Or(o.advice, "or give the ledger a branch or repository of its own")
	return o
}

// Close closes the connections and releases the cache.
func (l *Ledger) Close() error {
	_ = l.turn.Acquire(context.Background(), 1) // every holder's context ends, so this wait ends
	defer l.turn.Release(1)
	l.remote.Close()
	return l.store.Close()
}

// Snapshot fetches the branch and returns the tree of the ledger's directory, and the
// branch's head. Later commits do not change the tree. For a missing branch the tree is
// empty and head is "".
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
		if err = l.sync(ctx); err == nil { // fetches everything again
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

// Rewound reports a branch that moved backwards, was rewritten or was deleted. old is the
// last good head, and now the newest head since then, "" for a deleted branch. Rewound
// reports it until a commit of certroll that follows a call of Rewound is on the branch,
// across restarts too if there is a cache directory. That commit should record the rewind.
func (l *Ledger) Rewound() (old, now string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rewound == nil {
		return "", "", false
	}
	l.rewound.returned = true
	if !l.rewound.new.IsZero() {
		now = l.rewound.new.String()
	}
	return l.rewound.old.String(), now, true
}

// Place returns the remote, the branch and the directory, without credentials.
func (l *Ledger) Place() string {
	return l.remote.Location.String() + " " + l.ref.String() + " " + l.o.Directory
}

func (l *Ledger) doing(what string) string {
	return fmt.Sprintf("%s %s %s at %s", what, l.o.what, l.name(), l.remote.Location)
}

// name returns the short name of a branch, and the full name of another ref.
func (l *Ledger) name() string {
	if l.ref.IsBranch() {
		return l.ref.Short()
	}
	return l.ref.String()
}

// tree returns the ledger's directory at the head, and the hash of the whole tree.
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

// damaged records that the cache is unreadable, so that the next sync mends it.
func (l *Ledger) damaged(ctx context.Context, err error) error {
	return l.remote.Explain(ctx, l.doing("reading"), l.store.Spoil(err))
}

// sync fetches the head and all its files. It first mends a damaged cache, and goes on in
// memory if the disk rejects writes.
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

// syncOnce is one attempt of sync: it lists the refs, and fetches if the head has moved.
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
	// Nothing was pushed since: no fetch.
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

// find records the branch's position, and returns the commit to continue from: the branch's
// own head, or that of the branch to start from.
func (l *Ledger) find(adv *packp.AdvRefs) plumbing.Hash {
	l.tip = adv.References[l.ref.String()]
	if l.tip.IsZero() && l.o.from != "" {
		return adv.References[l.o.from]
	}
	return l.tip
}

// gone records that the branch does not exist, or no longer exists.
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

// update fetches the objects since the known head. It sends no depth, so that the history
// shows whether the new head descends from the known one.
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
	// The cache is damaged, or the remote cannot continue from our commits, as after a
	// force push: start over.
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

// clone fetches the head into an empty store, without its history.
func (l *Ledger) clone(ctx context.Context, c *remote.Conversation, head plumbing.Hash) error {
	if head.IsZero() {
		return l.gone()
	}
	w := remote.Wish{Want: []plumbing.Hash{head}, Depth: 1, MaxBytes: maxLedgerPack}
	if len(l.doubts) > 0 {
		w.Depth = 0 // the branch is new, and its first commit may be one in doubt: arrived needs the history
	}
	size, err := c.Fetch(ctx, w, l.store.DB)
	if err != nil {
		return err
	}
	if _, err := l.store.Commit(head); err != nil {
		return err
	}
	inOrder := true
	// A shallow clone has no history, so fetch the part between the two heads.
	if seen := l.store.State.Seen; !seen.IsZero() && seen != head {
		if inOrder, err = connects(ctx, l.remote, l.doing("fetching"), head, seen, maxLedgerPack); err != nil {
			return err
		}
	}
	l.judge(head, inOrder)
	l.store.Advance(head, objects.PackWeight, size)
	return nil
}

// judge records the head as the last good one, or as a rewind. Until a rewind ends, it
// keeps the old good head.
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
