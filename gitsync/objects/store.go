package objects

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"certroll/gitsync/atomicfile"
	"certroll/gitsync/fault"
	"certroll/gitsync/filelock"
	"certroll/gitsync/packfile"
	"certroll/spec/bounded"
)

// Store keeps what was fetched from one remote: in memory, or below a
// directory as one generation of objects and a state file that says which.
//
//	<cache>/<purpose>-<hash of the URL>/lock
//	<cache>/<purpose>-<hash of the URL>/state.json
//	<cache>/<purpose>-<hash of the URL>/<generation>/objects/...
type Store struct {
	*DB
	base  string // "" in memory
	lock  *filelock.Lock
	State State
	Ripe  Ripeness
	bound packfile.Bounds
	log   *slog.Logger
	// purpose is what a store on a disk is for.
	purpose string
	// unsaved: it was said that the state cannot be written down.
	unsaved bool
	// scratch goes with the store.
	scratch bool
}

// Ripeness is what must have been added before a compaction, besides twice
// what was there at first.
type Ripeness struct {
	Bytes   int64
	Objects int
}

var defaultRipeness = Ripeness{Bytes: 32 << 20, Objects: 5000}

// State is what is known of the objects. It is written after them, so that
// what it says is there, is.
type State struct {
	Generation int             `json:"generation"`
	Head       plumbing.Hash   `json:"head"`    // complete with all its files; zero: none
	Cut        []plumbing.Hash `json:"cut"`     // commits here whose parents are not
	Seen       plumbing.Hash   `json:"seen"`    // ledger: the last head that was in order
	Fresh      int64           `json:"fresh"`   // bytes at the start of this generation
	Added      int64           `json:"added"`   // bytes since
	Objects    int             `json:"objects"` // loose ones since, a pack counting as many
	Packed     int             `json:"packed"`  // that are here, or left out of here, and too large to be read
}

// Open opens the cache for one remote and one purpose. While another
// process holds it, and without a directory, it is in memory: slower to
// start, never wrong. What that process saw of the ledger is known all the same.
// So it is, with a warning, where the directory cannot be used.
func Open(cacheDir, purpose, remote string, bound packfile.Bounds, log *slog.Logger) (*Store, error) {
	log = logger(log)
	if cacheDir == "" {
		s := &Store{Ripe: defaultRipeness, bound: bound.InMemory(), log: log}
		return s, s.Renew()
	}
	sum := sha256.Sum256([]byte(remote))
	base := filepath.Join(cacheDir, purpose+"-"+hex.EncodeToString(sum[:8]))
	s := &Store{base: base, Ripe: defaultRipeness, bound: bound, log: log, purpose: purpose}
	err := os.MkdirAll(base, 0o700)
	if err == nil {
		s.lock, err = filelock.Take(filepath.Join(base, "lock"))
	}
	var held *filelock.HeldError
	if errors.As(err, &held) || errors.Is(err, errors.ErrUnsupported) {
		s := &Store{Ripe: defaultRipeness, bound: bound.InMemory(), log: log, State: State{Seen: seenIn(base)}}
		return s, s.Renew()
	}
	if err == nil {
		err = s.load()
	}
	if err != nil { // a disk that is full, or another user's: what is fetched is kept elsewhere
		s.State.Seen = seenIn(base)
		s.Abandon(err)
	}
	return s, nil
}

// OnDisk moves a store that has no directory into a temporary one, so that what
// it holds is on a disk; where there is none it stays in memory. Close removes it.
func (s *Store) OnDisk(bound packfile.Bounds) *Store {
	base, err := os.MkdirTemp("", "certroll-git-")
	if err != nil {
		return s
	}
	lock, err := filelock.Take(filepath.Join(base, "lock"))
	d := &Store{base: base, lock: lock, Ripe: s.Ripe, bound: bound, log: s.log, scratch: true}
	if err == nil {
		err = d.Renew()
	}
	if err != nil {
		_ = os.RemoveAll(base)
		return s
	}
	return d
}

// seenIn is the head that the process which has a cache saw last.
func seenIn(base string) plumbing.Hash {
	var s State
	if b, err := bounded.NamedFile(filepath.Join(base, "state.json")); err != nil || json.Unmarshal(b, &s) != nil {
		return plumbing.ZeroHash
	}
	return s.Seen
}

// load takes up what an earlier process left; what cannot be read is dropped,
// since all of it can be fetched again.
func (s *Store) load() error {
	file := filepath.Join(s.base, "state.json")
	b, err := bounded.NamedFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		s.sweep()
		return s.Renew()
	}
	if err == nil {
		err = json.Unmarshal(b, &s.State)
	}
	if err != nil {
		s.log.Warn("the Git cache is damaged; fetching it again", "cache", s.base, "error", err)
		if info, statErr := os.Lstat(file); statErr == nil && info.IsDir() { // which no file can take the place of
			_, _ = atomicfile.SetAside(file)
		}
	}
	s.sweep()
	if err != nil || s.State.Head.IsZero() {
		return s.Renew()
	}
	if s.DB, err = s.open(s.State.Generation); err != nil {
		return s.Mend(err)
	}
	s.packed = s.State.Packed
	if s.purpose == LedgerPurpose { // a config repo may be large, and is read at once
		err = s.whole()
	} else {
		_, err = s.Commit(s.State.Head)
	}
	if err != nil {
		return s.Mend(err)
	}
	return nil
}

// LedgerPurpose names the caches of ledgers.
const LedgerPurpose = "ledger"

// HistoryPurpose names the temporary stores of whole histories, which were checked as
// they came and are gone soon.
const HistoryPurpose = "history"

// sweep removes what crashes left behind.
func (s *Store) sweep() {
	atomicfile.Sweep(filepath.Join(s.base, "state.json"))
	now := strconv.Itoa(s.State.Generation)
	entries, _ := os.ReadDir(s.base)
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil && e.Name() != now {
			_ = os.RemoveAll(filepath.Join(s.base, e.Name()))
		}
	}
	for _, pattern := range []string{"pack/tmp_pack_*", "pack/tmp_idx_*", "pack/tmp_obj_*", "tmp_obj_*", "pack/tmp-*"} {
		left, _ := filepath.Glob(filepath.Join(s.base, now, "objects", pattern))
		for _, f := range left {
			_ = os.Remove(f)
		}
	}
}

// open opens one generation's database.
func (s *Store) open(generation int) (*DB, error) {
	var where billy.Filesystem
	var dir string
	if s.base == "" {
		where = memfs.New()
	} else {
		dir = filepath.Join(s.base, strconv.Itoa(generation))
		if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o700); err != nil {
			return nil, OnCache("making the Git cache", err)
		}
		where = osfs.New(dir, osfs.WithBoundOS())
	}
	db := filesystem.NewStorageWithOptions(where, cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{MaxOpenDescriptors: 16})
	return &DB{db: db, where: where, dir: dir, Strict: dir != "" && s.purpose != "" && s.purpose != HistoryPurpose, bound: s.bound}, nil
}

// Renew starts an empty generation and forgets the head, not what was seen.
func (s *Store) Renew() error {
	next := State{Generation: s.State.Generation + 1, Seen: s.State.Seen}
	objs, err := s.open(next.Generation)
	if err != nil {
		return err
	}
	s.DB, s.State = objs, next
	return nil
}

// save writes the state down, once all that it speaks of is on the disk.
func (s *Store) save() error {
	if s.base == "" {
		return nil
	}
	s.State.Packed = s.packed
	b, err := json.Marshal(s.State)
	if err == nil {
		err = s.syncNames()
	}
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(s.base, "state.json"), b, 0o600)
}

// compact copies the head's files into a new generation where too much else
// has piled up. File systems handed out earlier go on reading the old one,
// which on a disk lasts until the compaction after this one.
func (s *Store) compact() error {
	grown := s.State.Added > s.Ripe.Bytes && s.State.Added > 2*s.State.Fresh
	if s.State.Head.IsZero() || !grown && s.State.Objects < s.Ripe.Objects {
		return nil
	}
	next := State{Generation: s.State.Generation + 1, Head: s.State.Head, Cut: []plumbing.Hash{s.State.Head}, Seen: s.State.Seen}
	to, err := s.open(next.Generation)
	if err != nil {
		return err
	}
	if next.Fresh, err = s.copyLive(to); err != nil {
		return err
	}
	before, was, old := s.State.Generation-1, s.State, s.DB
	s.DB, s.State = to, next
	if err := s.save(); err != nil {
		s.DB, s.State = old, was
		return err
	}
	if s.base != "" {
		_ = os.RemoveAll(filepath.Join(s.base, strconv.Itoa(before)))
	}
	return nil
}

// copyLive streams the head's objects as one pack.
func (s *Store) copyLive(to *DB) (int64, error) {
	list, left, err := s.live(s.State.Head)
	to.packed += left
	if err != nil {
		return 0, err
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.writeAll(w, list)) }()
	count := &counter{r: r}
	err = to.AddPack(context.Background(), count) // what is here is within its bounds
	_ = r.CloseWithError(err)                     // ends the writer where the reader failed
	return count.n, err
}

func (s *Store) writeAll(w io.Writer, list []plumbing.Hash) error {
	p, err := packfile.NewWriter(w, len(list))
	if err != nil {
		return err
	}
	for _, h := range list {
		kind, data, err := s.any(h)
		if err != nil {
			return err
		}
		if err := p.Whole(kind, data); err != nil {
			return err
		}
	}
	return p.Close()
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Close lets another process have the cache.
func (s *Store) Close() error {
	s.DB.Close()
	if s.scratch {
		_ = os.RemoveAll(s.base)
	}
	if s.lock == nil {
		return nil
	}
	return s.lock.Release()
}

// PackWeight is how many loose objects one more pack counts as: each makes
// finding any object slower.
const PackWeight = 40

// Advance makes a fetched or pushed commit the head. To tell a remote "have
// head" is true only together with the commits in Cut as "shallow".
func (s *Store) Advance(head plumbing.Hash, news int, bytes int64) {
	if s.State.Head.IsZero() {
		s.State.Fresh = bytes
	} else {
		s.State.Added += bytes
		s.State.Objects += news
	}
	cut, met := s.boundary(head, s.State.Head)
	if met {
		cut = append(cut, s.State.Cut...)
	}
	s.State.Head, s.State.Cut = head, cut
	s.Settle()
}

// Settle writes the state down and compacts where it is time. That a cache
// cannot be written costs a fetch after the next start, and nothing now.
func (s *Store) Settle() {
	if err := s.compact(); err != nil {
		s.log.Warn("the Git cache cannot be compacted; will retry", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
		_ = os.RemoveAll(filepath.Join(s.base, strconv.Itoa(s.State.Generation+1)))
	}
	err := s.save()
	if err != nil && !s.unsaved {
		s.log.Warn("the Git cache cannot be written; the next start fetches the whole repository", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
	}
	s.unsaved = err != nil
}

// InMemory tells whether the store has no directory.
func (s *Store) InMemory() bool { return s.base == "" }

// Cached tells whether the store is in a directory that lasts.
func (s *Store) Cached() bool { return s.base != "" && !s.scratch }

// KeepPushed makes a pushed commit the head, with the objects that were pushed. Where
// the disk does not take them, the cache is dropped; the commit stands all the same.
func (s *Store) KeepPushed(commit plumbing.Hash, news []packfile.Object) {
	var size int64
	for _, n := range news {
		size += int64(len(n.Data)) / 4 // about what zlib leaves of JSON
	}
	err := s.put(news)
	if err == nil {
		s.Advance(commit, min(len(news), PackWeight), size)
		return
	}
	s.log.Warn("the Git cache cannot be written; the next fetch transfers everything again", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
	if err := s.Renew(); err != nil {
		s.Abandon(err)
	}
}
