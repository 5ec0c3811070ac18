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

// Store caches the objects of one remote: in memory, or in a directory with one generation
// of objects and a state file that names the generation.
//
//	<cache>/<purpose>-<hash of the URL>/lock
//	<cache>/<purpose>-<hash of the URL>/state.json
//	<cache>/<purpose>-<hash of the URL>/<generation>/objects/...
type Store struct {
	*DB
	base  string // the directory; "" in memory
	lock  *filelock.Lock
	State State
	Ripe  Ripeness
	bound packfile.Bounds
	log   *slog.Logger
	// purpose says which caller a store on a disk has; it is part of the directory's name.
	purpose string
	// saved is the generation that the state file names, and before the one that it named
	// before that: trees that Snapshot returned may still read both.
	saved, before int
	// unsaved is set after the warning about an unwritable state, so that the log has it
	// once.
	unsaved bool
	// scratch marks a temporary directory, which Close removes.
	scratch bool
}

// Ripeness are the additions since the last compaction that start the next one. Bytes must
// also be twice the size right after the last one.
type Ripeness struct {
	Bytes   int64
	Objects int
}

var defaultRipeness = Ripeness{Bytes: 32 << 20, Objects: 5000}

// State describes the objects. save writes it after the objects are durable, so the state
// never names a missing object.
type State struct {
	Generation int             `json:"generation"`
	Head       plumbing.Hash   `json:"head"`    // the last fetched or pushed commit, complete with its files; zero: none
	Cut        []plumbing.Hash `json:"cut"`     // commits here whose parents are not: the "shallow" lines of a fetch
	Seen       plumbing.Hash   `json:"seen"`    // ledger: the last head that did not rewrite the branch
	Fresh      int64           `json:"fresh"`   // bytes at the start of this generation
	Added      int64           `json:"added"`   // bytes since then
	Objects    int             `json:"objects"` // loose objects since then; a pack counts as PackWeight
	Packed     int             `json:"packed"`  // number of deltas that are too large to read, here or left out by compact
}

// Open opens the cache for one remote and one purpose. The store is in memory without a
// directory, while another process holds the lock, and, with a warning, if certroll cannot
// use the directory. It then fetches more, and is never wrong: Seen still comes from the
// state file of the other process.
func Open(cacheDir, purpose, remote string, bound packfile.Bounds, log *slog.Logger) (*Store, error) {
	log = logger(log)
	if cacheDir == "" {
		s := &Store{Ripe: defaultRipeness, bound: bound.InMemory(), log: log}
		return s, s.Renew()
	}
	// A hash, because a URL is not a file name.
	sum := sha256.Sum256([]byte(remote))
	base := filepath.Join(cacheDir, purpose+"-"+hex.EncodeToString(sum[:8]))
	s := &Store{base: base, Ripe: defaultRipeness, bound: bound, log: log, purpose: purpose}
	err := os.MkdirAll(base, 0o700)
	if err == nil {
		s.lock, err = filelock.Take(filepath.Join(base, "lock"))
	}
	var held *filelock.HeldError
	// Two writers would damage the cache, so only the holder of the lock uses it.
	if errors.As(err, &held) || errors.Is(err, errors.ErrUnsupported) {
		s := &Store{Ripe: defaultRipeness, bound: bound.InMemory(), log: log, State: State{Seen: seenIn(base)}}
		return s, s.Renew()
	}
	if err == nil {
		err = s.load()
	}
	if err != nil { // a full disk, or another user's directory
		s.State.Seen = seenIn(base)
		s.Abandon(err)
	}
	return s, nil
}

// OnDisk returns a store in a temporary directory, which Close removes. It returns s if
// there is no temporary directory. Large packs belong on a disk, not in memory.
func (s *Store) OnDisk(bound packfile.Bounds) *Store {
	base, err := scratchDir(scratchGit)
	if err != nil {
		return s
	}
	lock, err := filelock.Take(filepath.Join(base, "lock"))
	d := &Store{base: base, lock: lock, Ripe: s.Ripe, bound: bound, log: s.log, scratch: true}
	if err != nil {
		_ = os.RemoveAll(base)
		return s
	}
	if err := d.Renew(); err != nil {
		_ = os.RemoveAll(base)
		_ = lock.Release()
		return s
	}
	return d
}

// seenIn returns Seen from the state file in base, for a process that could not lock the
// cache.
func seenIn(base string) plumbing.Hash {
	var s State
	if b, err := bounded.NamedFile(filepath.Join(base, "state.json")); err != nil || json.Unmarshal(b, &s) != nil {
		return plumbing.ZeroHash
	}
	return s.Seen
}

// load reads the objects of an earlier process. It drops unreadable ones, because the next
// fetch brings them again.
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
		if info, statErr := os.Stat(file); statErr == nil && info.IsDir() { // a rename cannot replace a directory
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
	if s.purpose == LedgerPurpose { // check a ledger in full; a config repo may be large, and its next read checks it
		err = s.whole()
	} else {
		_, err = s.Commit(s.State.Head)
	}
	if err != nil {
		return s.Mend(err)
	}
	return nil
}

// LedgerPurpose is the purpose of a ledger's cache.
const LedgerPurpose = "ledger"

// HistoryPurpose is the purpose of a temporary store with a whole history. It is not
// Strict: AddPack checked the objects, and the store lives for one walk.
const HistoryPurpose = "history"

// sweep removes other generations and temporary files, which a crash may have left.
func (s *Store) sweep() {
	atomicfile.Sweep(filepath.Join(s.base, "state.json"))
	now := strconv.Itoa(s.State.Generation)
	s.removeGenerations(func(n int) bool { return n != s.State.Generation })
	s.saved = s.State.Generation
	for _, pattern := range []string{"pack/tmp_pack_*", "pack/tmp_idx_*", "pack/tmp_obj_*", "tmp_obj_*", "pack/tmp-*"} {
		left, _ := filepath.Glob(filepath.Join(packfile.EscapeGlob(s.base), now, "objects", pattern))
		for _, f := range left {
			_ = os.Remove(f)
		}
	}
}

// open opens the database of one generation.
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
		// Bound: no path and no symbolic link leads out of dir.
		where = osfs.New(dir, osfs.WithBoundOS())
	}
	db := filesystem.NewStorageWithOptions(where, cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{MaxOpenDescriptors: 16})
	return &DB{db: db, where: where, dir: dir, Strict: dir != "" && s.purpose != "" && s.purpose != HistoryPurpose, bound: s.bound}, nil
}

// Renew starts an empty generation. It forgets the head but keeps Seen, which proves a
// rewrite of the ledger.
func (s *Store) Renew() error {
	next := State{Generation: s.State.Generation + 1, Seen: s.State.Seen}
	objs, err := s.open(next.Generation)
	if err != nil {
		return err
	}
	s.DB, s.State = objs, next
	return nil
}

// save writes the state file, after the objects are durable.
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
	if err := atomicfile.Write(filepath.Join(s.base, "state.json"), b, 0o600); err != nil {
		return err
	}
	if now := s.State.Generation; now != s.saved {
		s.before, s.saved = s.saved, now
		s.prune()
	}
	return nil
}

// prune removes the generations that no tree reads any more. It keeps the last one too if that
// was never saved, because the disk was full.
func (s *Store) prune() {
	s.removeGenerations(func(n int) bool { return n < s.State.Generation-1 && n != s.before })
}

// removeGenerations removes the generations for which stale returns true.
func (s *Store) removeGenerations(stale func(n int) bool) {
	entries, _ := os.ReadDir(s.base)
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && stale(n) {
			_ = os.RemoveAll(filepath.Join(s.base, e.Name()))
		}
	}
}

// compact copies the head's files into a new generation if the old one has grown too much;
// see Ripeness. Trees that Snapshot returned earlier still read the old generation. On a
// disk it lasts until the next generation is saved; see prune.
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
	was, old := s.State, s.DB
	s.DB, s.State = to, next
	if err := s.save(); err != nil {
		// Go on with the old generation, which is complete.
		s.DB, s.State = old, was
		return err
	}
	return nil
}

// copyLive copies the head's objects as one pack, as a stream: they may be larger than
// memory.
func (s *Store) copyLive(to *DB) (int64, error) {
	list, left, err := s.live(s.State.Head)
	to.packed += left
	if err != nil {
		return 0, err
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.writeAll(w, list)) }()
	count := &counter{r: r}
	err = to.AddPack(context.Background(), count) // the objects here are within the bounds, so there is nothing to cancel
	_ = r.CloseWithError(err)                     // ends the writer's goroutine if AddPack failed
	return count.n, err
}

// writeAll writes the objects as a pack without deltas.
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

// counter counts the bytes that it passes on.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Close closes the files, removes a temporary directory and releases the lock.
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

// PackWeight is the number of loose objects that a pack counts as for Ripeness: each pack
// makes every lookup slower.
const PackWeight = 40

// Advance makes a fetched or pushed commit the head, with news more objects of bytes bytes.
// It also updates Cut: a fetch may send "have HEAD" only together with "shallow" lines for
// Cut (gitprotocol-pack(5)), or the server assumes that the parents are here.
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

// Settle compacts the store if due and writes the state. Both only warn on an error: the
// objects in use stay readable, and the cost is a full fetch after the next start.
func (s *Store) Settle() {
	if err := s.compact(); err != nil {
		s.log.Warn("the Git cache cannot be compacted; will retry", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
		// Remove the unfinished generation.
		_ = os.RemoveAll(filepath.Join(s.base, strconv.Itoa(s.State.Generation+1)))
	}
	err := s.save()
	if err != nil && !s.unsaved {
		s.log.Warn("the Git cache cannot be written; the next start fetches the whole repository", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
	}
	s.unsaved = err != nil
}

// InMemory reports whether the store has no directory.
func (s *Store) InMemory() bool { return s.base == "" }

// Cached reports whether the store has a directory that outlives the process.
func (s *Store) Cached() bool { return s.base != "" && !s.scratch }

// KeepPushed makes a pushed commit the head, with its objects news. The remote has the
// commit already, so a failed write drops the cache and is no error of the push.
func (s *Store) KeepPushed(commit plumbing.Hash, news []packfile.Object) {
	var size int64
	for _, n := range news {
		size += int64(len(n.Data)) / 4 // about the size of JSON after zlib
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
