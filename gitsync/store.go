package gitsync

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
	"certroll/spec/bounded"
)

// store keeps what was fetched from one remote: in memory, or below a
// directory as one generation of objects and a state file that says which.
//
//	<cache>/<purpose>-<hash of the URL>/lock
//	<cache>/<purpose>-<hash of the URL>/state.json
//	<cache>/<purpose>-<hash of the URL>/<generation>/objects/...
type store struct {
	*objects
	base  string // "" in memory
	lock  *fileLock
	state state
	ripe  ripeness
	bound bounds
	log   *slog.Logger
	// purpose is what a store on a disk is for.
	purpose string
	// unsaved: it was said that the state cannot be written down.
	unsaved bool
	// scratch goes with the store.
	scratch bool
}

// ripeness is what must have been added before a compaction, besides twice
// what was there at first.
type ripeness struct {
	bytes   int64
	objects int
}

var defaultRipeness = ripeness{bytes: 32 << 20, objects: 5000}

// state is what is known of the objects. It is written after them, so that
// what it says is there, is.
type state struct {
	Generation int             `json:"generation"`
	Head       plumbing.Hash   `json:"head"`    // complete with all its files; zero: none
	Cut        []plumbing.Hash `json:"cut"`     // commits here whose parents are not
	Seen       plumbing.Hash   `json:"seen"`    // ledger: the last head that was in order
	Fresh      int64           `json:"fresh"`   // bytes at the start of this generation
	Added      int64           `json:"added"`   // bytes since
	Objects    int             `json:"objects"` // loose ones since, a pack counting as many
	Packed     int             `json:"packed"`  // that are here, or left out of here, and too large to be read
}

// openStore opens the cache for one remote and one purpose. While another
// process holds it, and without a directory, it is in memory: slower to
// start, never wrong. What that process saw of the ledger is known all the same.
// So it is, with a warning, where the directory cannot be used.
func openStore(cacheDir, purpose, remote string, bound bounds, log *slog.Logger) (*store, error) {
	log = logger(log)
	if cacheDir == "" {
		s := &store{ripe: defaultRipeness, bound: bound.inMemory(), log: log}
		return s, s.renew()
	}
	sum := sha256.Sum256([]byte(remote))
	base := filepath.Join(cacheDir, purpose+"-"+hex.EncodeToString(sum[:8]))
	s := &store{base: base, ripe: defaultRipeness, bound: bound, log: log, purpose: purpose}
	err := os.MkdirAll(base, 0o700)
	if err == nil {
		s.lock, err = lockFile(filepath.Join(base, "lock"))
	}
	var held *heldError
	if errors.As(err, &held) || errors.Is(err, errors.ErrUnsupported) {
		s := &store{ripe: defaultRipeness, bound: bound.inMemory(), log: log, state: state{Seen: seenIn(base)}}
		return s, s.renew()
	}
	if err == nil {
		err = s.load()
	}
	if err != nil { // a disk that is full, or another user's: what is fetched is kept elsewhere
		s.state.Seen = seenIn(base)
		s.abandon(err)
	}
	return s, nil
}

// onDisk moves a store that has no directory into a temporary one, so that what
// it holds is on a disk; where there is none it stays in memory. Close removes it.
func (s *store) onDisk(bound bounds) *store {
	base, err := os.MkdirTemp("", "certroll-git-")
	if err != nil {
		return s
	}
	lock, err := lockFile(filepath.Join(base, "lock"))
	d := &store{base: base, lock: lock, ripe: s.ripe, bound: bound, log: s.log, scratch: true}
	if err == nil {
		err = d.renew()
	}
	if err != nil {
		_ = os.RemoveAll(base)
		return s
	}
	return d
}

// seenIn is the head that the process which has a cache saw last.
func seenIn(base string) plumbing.Hash {
	var s state
	if b, err := bounded.NamedFile(filepath.Join(base, "state.json")); err != nil || json.Unmarshal(b, &s) != nil {
		return plumbing.ZeroHash
	}
	return s.Seen
}

// load takes up what an earlier process left; what cannot be read is dropped,
// since all of it can be fetched again.
func (s *store) load() error {
	file := filepath.Join(s.base, "state.json")
	b, err := bounded.NamedFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		s.sweep()
		return s.renew()
	}
	if err == nil {
		err = json.Unmarshal(b, &s.state)
	}
	if err != nil {
		s.log.Warn("the Git cache is damaged; fetching it again", "cache", s.base, "error", err)
		if info, statErr := os.Lstat(file); statErr == nil && info.IsDir() { // which no file can take the place of
			_, _ = atomicfile.SetAside(file)
		}
	}
	s.sweep()
	if err != nil || s.state.Head.IsZero() {
		return s.renew()
	}
	if s.objects, err = s.open(s.state.Generation); err != nil {
		return s.mend(err)
	}
	s.packed = s.state.Packed
	if s.purpose == ledgerPurpose { // a config repo may be large, and is read at once
		err = s.whole()
	} else {
		_, err = s.commit(s.state.Head)
	}
	if err != nil {
		return s.mend(err)
	}
	return nil
}

// ledgerPurpose names the caches of ledgers.
const ledgerPurpose = "ledger"

// historyPurpose names the temporary stores of whole histories, which were checked as
// they came and are gone soon.
const historyPurpose = "history"

// sweep removes what crashes left behind.
func (s *store) sweep() {
	atomicfile.Sweep(filepath.Join(s.base, "state.json"))
	now := strconv.Itoa(s.state.Generation)
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
func (s *store) open(generation int) (*objects, error) {
	var where billy.Filesystem
	var dir string
	if s.base == "" {
		where = memfs.New()
	} else {
		dir = filepath.Join(s.base, strconv.Itoa(generation))
		if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o700); err != nil {
			return nil, onCache("making the Git cache", err)
		}
		where = osfs.New(dir, osfs.WithBoundOS())
	}
	db := filesystem.NewStorageWithOptions(where, cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{MaxOpenDescriptors: 16})
	return &objects{db: db, where: where, dir: dir, strict: dir != "" && s.purpose != "" && s.purpose != historyPurpose, bound: s.bound}, nil
}

// renew starts an empty generation and forgets the head, not what was seen.
func (s *store) renew() error {
	next := state{Generation: s.state.Generation + 1, Seen: s.state.Seen}
	objs, err := s.open(next.Generation)
	if err != nil {
		return err
	}
	s.objects, s.state = objs, next
	return nil
}

// save writes the state down, once all that it speaks of is on the disk.
func (s *store) save() error {
	if s.base == "" {
		return nil
	}
	s.state.Packed = s.packed
	b, err := json.Marshal(s.state)
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
func (s *store) compact() error {
	grown := s.state.Added > s.ripe.bytes && s.state.Added > 2*s.state.Fresh
	if s.state.Head.IsZero() || !grown && s.state.Objects < s.ripe.objects {
		return nil
	}
	next := state{Generation: s.state.Generation + 1, Head: s.state.Head, Cut: []plumbing.Hash{s.state.Head}, Seen: s.state.Seen}
	to, err := s.open(next.Generation)
	if err != nil {
		return err
	}
	if next.Fresh, err = s.copyLive(to); err != nil {
		return err
	}
	before, was, old := s.state.Generation-1, s.state, s.objects
	s.objects, s.state = to, next
	if err := s.save(); err != nil {
		s.objects, s.state = old, was
		return err
	}
	if s.base != "" {
		_ = os.RemoveAll(filepath.Join(s.base, strconv.Itoa(before)))
	}
	return nil
}

// copyLive streams the head's objects as one pack.
func (s *store) copyLive(to *objects) (int64, error) {
	list, left, err := s.live(s.state.Head)
	to.packed += left
	if err != nil {
		return 0, err
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.writeAll(w, list)) }()
	count := &counter{r: r}
	err = to.addPack(context.Background(), count) // what is here is within its bounds
	_ = r.CloseWithError(err)                     // ends the writer where the reader failed
	return count.n, err
}

func (s *store) writeAll(w io.Writer, list []plumbing.Hash) error {
	p, err := newPackWriter(w, len(list))
	if err != nil {
		return err
	}
	for _, h := range list {
		kind, data, err := s.any(h)
		if err != nil {
			return err
		}
		if err := p.whole(kind, data); err != nil {
			return err
		}
	}
	return p.close()
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
func (s *store) Close() error {
	s.objects.close()
	if s.scratch {
		_ = os.RemoveAll(s.base)
	}
	if s.lock == nil {
		return nil
	}
	return s.lock.release()
}

// packWeight is how many loose objects one more pack counts as: each makes
// finding any object slower.
const packWeight = 40

// advance makes a fetched or pushed commit the head. To tell a remote "have
// head" is true only together with the commits in Cut as "shallow".
func (s *store) advance(head plumbing.Hash, news int, bytes int64) {
	if s.state.Head.IsZero() {
		s.state.Fresh = bytes
	} else {
		s.state.Added += bytes
		s.state.Objects += news
	}
	cut, met := s.boundary(head, s.state.Head)
	if met {
		cut = append(cut, s.state.Cut...)
	}
	s.state.Head, s.state.Cut = head, cut
	s.settle()
}

// settle writes the state down and compacts where it is time. That a cache
// cannot be written costs a fetch after the next start, and nothing now.
func (s *store) settle() {
	if err := s.compact(); err != nil {
		s.log.Warn("the Git cache cannot be compacted; will retry", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
		_ = os.RemoveAll(filepath.Join(s.base, strconv.Itoa(s.state.Generation+1)))
	}
	err := s.save()
	if err != nil && !s.unsaved {
		s.log.Warn("the Git cache cannot be written; the next start fetches the whole repository", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
	}
	s.unsaved = err != nil
}

// inMemory tells whether the store has no directory.
func (s *store) inMemory() bool { return s.base == "" }

// cached tells whether the store is in a directory that lasts.
func (s *store) cached() bool { return s.base != "" && !s.scratch }

// keepPushed makes a pushed commit the head, with the objects that were pushed. Where
// the disk does not take them, the cache is dropped; the commit stands all the same.
func (s *store) keepPushed(commit plumbing.Hash, news []newObject) {
	var size int64
	for _, n := range news {
		size += int64(len(n.data)) / 4 // about what zlib leaves of JSON
	}
	err := s.put(news)
	if err == nil {
		s.advance(commit, min(len(news), packWeight), size)
		return
	}
	s.log.Warn("the Git cache cannot be written; the next fetch transfers everything again", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
	if err := s.renew(); err != nil {
		s.abandon(err)
	}
}
