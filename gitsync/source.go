package gitsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"golang.org/x/sync/semaphore"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
	"certroll/gitsync/remote"
	"certroll/gitsync/signature"
)

// SourceOptions name the config repo and the part of it to read.
type SourceOptions struct {
	URL string
	// Ref is a branch, a tag, a full commit hash or a full ref ("refs/heads/main"). If
	// empty, it is the branch of the remote's HEAD.
	Ref       string
	Directory string // read only this sub-directory; empty: all
	Auth      remote.Auth
	Depth     int           // commits to fetch; 1 unless set
	CacheDir  string        // keeps objects across restarts; empty: a temporary directory
	Timeout   time.Duration // of one fetch; five minutes unless set
	Limits    Limits
	Signers   *signature.Signers // the keys that must have signed a commit; nil: accept unsigned commits
	Log       *slog.Logger       // for warnings about the cache; nil: none
}

// Source reads revisions of the config repo. It is safe for concurrent use.
type Source struct {
	turn   *semaphore.Weighted // serializes the calls; waiting for it ends with the caller's context, unlike a mutex
	o      SourceOptions
	remote *remote.Remote
	store  *objects.Store // nil for a local path
	last   *Revision
	asked  ancestry // the last answer of the remote about ancestry
	large  refusedHead
}

// refusedHead is a hash that was too large to fetch, and the error. While the ref has that
// hash, Source does not fetch it again.
type refusedHead struct {
	hash plumbing.Hash
	err  error
}

// OpenSource checks the options, without connecting to the remote.
func OpenSource(o SourceOptions) (*Source, error) {
	var err error
	if o.Directory, err = cleanDirectory(o.Directory); err != nil {
		return nil, err
	}
	if o.Depth <= 0 {
		o.Depth = 1
	}
	o.Limits = o.Limits.withDefaults()
	s := &Source{turn: semaphore.NewWeighted(1), o: o}
	if s.remote, err = remote.Open(o.URL, o.Auth, o.Timeout); err != nil {
		return nil, err
	}
	if s.remote.Location.IsLocal() {
		return s, nil
	}
	s.store, err = objects.Open(o.CacheDir, "source", s.remote.Location.String(), o.Limits.bounds(), o.Log)
	if err != nil {
		s.remote.Close()
		return nil, err
	}
	if s.store.InMemory() { // a Revision has copies of its files, so nothing reads the store after Close
		s.store = s.store.OnDisk(o.Limits.bounds())
	}
	return s, nil
}

// Close closes the connections and releases the cache.
func (s *Source) Close() error {
	_ = s.turn.Acquire(context.Background(), 1) // every holder's context ends, so this wait ends
	defer s.turn.Release(1)
	s.remote.Close()
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}

// Fetch returns the revision of the ref. While the ref has not changed, Fetch costs one
// listing of the remote's refs, or nothing if the ref is a commit hash. It then returns the
// same Revision, so callers must not change it. For a commit without a signature of the
// Signers it returns an Error with Held set.
func (s *Source) Fetch(ctx context.Context) (*Revision, error) {
	if err := s.turn.Acquire(ctx, 1); err != nil {
		return nil, s.remote.Explain(ctx, s.doing(), err)
	}
	defer s.turn.Release(1)
	ctx, cancel := s.remote.Bound(ctx)
	defer cancel()
	if s.last != nil && s.last.Commit == strings.ToLower(s.o.Ref) {
		return s.last, nil
	}
	rev, err := s.fetch(ctx)
	for range 2 { // once to mend a damaged cache, once to leave a disk that rejects writes
		if !objects.IsCacheError(err) || s.store == nil || ctx.Err() != nil {
			break
		}
		s.leaveCache(err)
		rev, err = s.fetch(ctx)
	}
	if err != nil {
		return nil, s.remote.Explain(ctx, s.doing(), err)
	}
	s.last = rev
	return rev, nil
}

// fetch is one attempt of Fetch. It checks the signature before it reads any file.
func (s *Source) fetch(ctx context.Context) (*Revision, error) {
	objs, commit, err := s.bring(ctx)
	if err != nil {
		return nil, s.remote.Explain(ctx, s.doing(), err)
	}
	if s.last != nil && s.last.Commit == commit.String() {
		return s.last, nil
	}
	err = s.checkSignature(objs, commit)
	var rev *Revision
	if err == nil {
		rev, err = readRevision(objs, commit, s.o.Directory, s.reading(commit), s.o.Limits)
	}
	if err != nil {
		return nil, s.unread(ctx, commit, err)
	}
	return rev, nil
}

// leaveCache drops a damaged cache. If the disk rejects writes, the next objects go into a
// temporary directory, and if that fails too, into memory.
func (s *Source) leaveCache(err error) {
	if s.store.Damage() != nil {
		if err = s.store.Mend(err); err == nil {
			return
		}
	}
	temporary := s.store.Cached()
	s.store.Abandon(err)
	if temporary {
		s.store = s.store.OnDisk(s.o.Limits.bounds())
	}
}

// unread returns the error for a revision that cannot be read. It also records damage if
// the fault is the cache's, so that Fetch retries.
func (s *Source) unread(ctx context.Context, commit plumbing.Hash, err error) error {
	var ours *fault.Error
	if errors.As(err, &ours) {
		return err
	}
	if s.store != nil && !errors.Is(err, packfile.ErrTooLarge) {
		err = s.store.Spoil(err)
	}
	return s.remote.Explain(ctx, s.reading(commit), err)
}

// Place returns the repository without credentials; a local path is absolute.
func (s *Source) Place() string { return s.remote.Location.String() }

func (s *Source) doing() string {
	ref := s.o.Ref
	if ref == "" {
		ref = "HEAD"
	}
	return fmt.Sprintf("fetching %s from %s", ref, s.remote.Location)
}

func (s *Source) reading(commit plumbing.Hash) string {
	return fmt.Sprintf("reading commit %s of %s", short(commit), s.remote.Location)
}

// bring makes the commit of the ref available and returns its hash.
func (s *Source) bring(ctx context.Context) (*objects.DB, plumbing.Hash, error) {
	if s.store == nil {
		return s.local(ctx)
	}
	// A commit never changes: do not even list the refs.
	if h := plumbing.NewHash(s.o.Ref); isHash(s.o.Ref) && h == s.store.State.Head {
		return s.store.DB, h, nil
	}
	c, err := s.remote.List(ctx, s.doing())
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	defer c.Close()
	t, err := resolve(advertised(c.Adv), s.o.Ref)
	if err != nil {
		return nil, plumbing.ZeroHash, s.noRef(err)
	}
	if t.commit == s.store.State.Head {
		return s.store.DB, t.commit, nil
	}
	// Fetching it again would cost up to Limits.Pack bytes in every pass, for the same
	// error.
	if t.hash == s.large.hash {
		return nil, plumbing.ZeroHash, s.large.err
	}
	commit, err := s.download(ctx, c, t)
	if errors.Is(err, packfile.ErrTooLarge) {
		s.large = refusedHead{t.hash, err}
	}
	return s.store.DB, commit, err
}

// leastNews is the smallest limit of an incremental fetch, in bytes.
const leastNews = 8 << 20

// download fetches the objects since the last head. If that fails, it fetches from nothing:
// the remote may have rewritten the history under a shallow copy, or the cache may be
// damaged.
//
// The incremental fetch sends no depth: with one, the server sends the whole tree for each
// commit. But if the new head has merged a branch that forked before our commit, a fetch
// without a depth brings that branch's whole history. If that is larger than the whole tree
// was, download fetches again with the depth. The second fetch is also the way past a file
// that was too large and that a later commit removed.
func (s *Source) download(ctx context.Context, c *remote.Conversation, t target) (plumbing.Hash, error) {
	w := remote.Wish{Want: []plumbing.Hash{t.hash}, Depth: s.o.Depth, MaxBytes: s.o.Limits.Pack}
	if t.unlisted && !c.Adv.Capabilities.Supports(capability.AllowReachableSHA1InWant) {
		// The server serves only hashes that a ref names. Fetch everything, then look for
		// the commit.
		w.Want, w.Depth = tips(c.Adv), 0
	}
	if head := s.store.State.Head; !head.IsZero() {
		again := w
		again.Have, again.Shallow = []plumbing.Hash{head}, s.store.State.Cut
		// Beyond the size of the whole tree, a fetch with a depth is cheaper.
		again.Depth, again.MaxBytes = 0, min(w.MaxBytes, max(s.store.State.Fresh, leastNews))
		commit, err := s.take(ctx, c, again, t)
		if err == nil || ctx.Err() != nil || objects.IsCacheError(err) {
			return commit, err
		}
		c.Close()
		if errors.Is(err, packfile.ErrTooLarge) {
			// The store is intact: keep it, and fetch with the depth.
			w.Have, w.Shallow = again.Have, again.Shallow
		} else if err := s.store.Renew(); err != nil {
			return plumbing.ZeroHash, err
		}
		fresh, err := s.remote.List(ctx, s.doing())
		if err != nil {
			return plumbing.ZeroHash, err
		}
		defer fresh.Close()
		c = fresh
	}
	return s.take(ctx, c, w, t)
}

// take fetches a pack and records the new head in the store.
func (s *Source) take(ctx context.Context, c *remote.Conversation, w remote.Wish, t target) (plumbing.Hash, error) {
	size, err := c.Fetch(ctx, w, s.store.DB)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	commit, err := s.store.Peel(t.hash)
	if err != nil {
		if t.unlisted && !s.store.Has(t.hash) {
			err = s.noRef(errNoRef)
		}
		return plumbing.ZeroHash, err
	}
	s.store.Advance(commit, objects.PackWeight, size)
	return commit, nil
}

// local opens the repository at a path for each call, because git may have repacked it.
func (s *Source) local(ctx context.Context) (*objects.DB, plumbing.Hash, error) {
	repo, objs, err := objects.OpenLocal(ctx, s.remote.Location.Path, false, localBounds())
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, plumbing.ZeroHash, &remote.SaidError{Err: errors.New("repository not found")}
	}
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	objs.Strict = s.o.Signers != nil
	refs, err := localRefs(repo)
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	t, err := resolve(refs, s.o.Ref)
	if err != nil {
		return nil, plumbing.ZeroHash, s.noRef(err)
	}
	commit, err := objs.Peel(t.hash)
	if err != nil && t.unlisted {
		err = s.noRef(errNoRef)
	}
	return objs, commit, err
}

// errNoRef, errEmpty and errAmbiguous are the reasons why a ref names no commit.
var (
	errNoRef     = errors.New("there is no such branch, tag or commit")
	errEmpty     = errors.New("the repository has no commits yet")
	errAmbiguous = errors.New("it is both a branch and a tag, and they differ")
)

// noRef returns the Error for a ref that names no commit.
func (s *Source) noRef(err error) error {
	e := &fault.Error{Kind: fault.RefNotFound, Doing: s.doing(), Detail: err.Error()}
	switch {
	case errors.Is(err, errAmbiguous):
		e.Advice = fmt.Sprintf("write refs/heads/%s or refs/tags/%s", s.o.Ref, s.o.Ref)
	case errors.Is(err, errEmpty):
		e.Advice = "push a commit first"
	case abbreviated.MatchString(s.o.Ref):
		e.Advice = "write a commit's hash in full: 40 digits"
	default:
		e.Advice = "check its spelling, and that it was pushed"
	}
	return e
}

var abbreviated = regexp.MustCompile(`^[0-9a-fA-F]{4,39}$`)

func isHash(ref string) bool { return plumbing.IsHash(ref) }

// refs are a repository's refs by full name, with HEAD. peeled has the commit of an
// annotated tag, if the server sent it.
type refs struct {
	byName map[string]plumbing.Hash
	peeled map[string]plumbing.Hash
	head   plumbing.Hash
}

func advertised(adv *packp.AdvRefs) refs {
	r := refs{byName: adv.References, peeled: adv.Peeled}
	if adv.Head != nil {
		r.head = *adv.Head
	}
	return r
}

// localRefs returns the refs of a repository on this machine. peeled stays empty: Peel reads
// the tag objects.
func localRefs(repo *git.Repository) (refs, error) {
	r := refs{byName: map[string]plumbing.Hash{}}
	if head, err := repo.Head(); err == nil {
		r.head = head.Hash()
	}
	iter, err := repo.References()
	if err != nil {
		return r, err
	}
	return r, iter.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() == plumbing.HashReference {
			r.byName[ref.Name().String()] = ref.Hash()
		}
		return nil
	})
}

// target is the result of resolving a ref.
type target struct {
	hash     plumbing.Hash // the hash to fetch: for an annotated tag, that of the tag object
	commit   plumbing.Hash // the commit, if known without fetching
	unlisted bool          // no ref names the commit
}

// resolve finds a ref of SourceOptions. A short name that is both a branch and a tag is an
// error if they differ: git would choose one silently.
func resolve(r refs, ref string) (target, error) {
	if len(r.byName) == 0 && r.head.IsZero() {
		return target{}, errEmpty
	}
	if ref == "" || ref == "HEAD" {
		if r.head.IsZero() {
			return target{}, errors.New("the remote's HEAD names no branch that is there")
		}
		return target{hash: r.head, commit: r.head}, nil
	}
	if strings.HasPrefix(ref, "refs/") {
		return r.named(ref)
	}
	if isHash(ref) { // a hash first, as in git, even if a branch has that name
		h := plumbing.NewHash(ref)
		return target{hash: h, commit: h, unlisted: !r.lists(h)}, nil
	}
	branch, noBranch := r.named("refs/heads/" + ref)
	tag, noTag := r.named("refs/tags/" + ref)
	switch {
	case noBranch == nil && noTag == nil && branch.commit != tag.commit:
		return target{}, errAmbiguous
	case noBranch == nil:
		return branch, nil
	case noTag == nil:
		return tag, nil
	}
	return target{}, errNoRef
}

// named returns the target of a full ref name.
func (r refs) named(name string) (target, error) {
	h, ok := r.byName[name]
	if !ok {
		return target{}, errNoRef
	}
	commit := h
	if p, ok := r.peeled[name]; ok {
		commit = p
	}
	return target{hash: h, commit: commit}, nil
}

// lists reports whether a ref names the hash. A server may refuse to serve any other
// commit.
func (r refs) lists(h plumbing.Hash) bool {
	for _, at := range r.byName {
		if at == h {
			return true
		}
	}
	return r.head == h
}

// tips returns the hashes of all branches and tags, sorted and without repetitions.
func tips(adv *packp.AdvRefs) []plumbing.Hash {
	var list []plumbing.Hash
	for name, h := range adv.References {
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b plumbing.Hash) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(list)
}
