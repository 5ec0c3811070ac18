package gitsync

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
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
}

// openStore opens the cache for one remote and one purpose. While another
// process holds it, and without a directory, it is in memory: slower to
// start, never wrong. What that process saw of the ledger is known all the same.
func openStore(cacheDir, purpose, remote string) (*store, error) {
	if cacheDir == "" {
		s := &store{ripe: defaultRipeness}
		return s, s.renew()
	}
	doing := "opening the Git cache " + cacheDir
	sum := sha256.Sum256([]byte(remote))
	base := filepath.Join(cacheDir, purpose+"-"+hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, &Error{Kind: Invalid, Doing: doing, Detail: reason(err), Advice: "name a directory that this user may write", Err: err}
	}
	lock, err := lockFile(filepath.Join(base, "lock"))
	var held *heldError
	if errors.As(err, &held) || errors.Is(err, errors.ErrUnsupported) {
		s := &store{ripe: defaultRipeness, state: state{Seen: seenIn(base)}}
		return s, s.renew()
	}
	if err != nil {
		return nil, &Error{Kind: Invalid, Doing: doing, Detail: reason(err), Advice: "name a directory that this user may write", Err: err}
	}
	s := &store{base: base, lock: lock, ripe: defaultRipeness}
	if err := s.load(); err != nil {
		_ = lock.release()
		return nil, &Error{Kind: Failed, Doing: doing, Detail: err.Error(), Advice: "check the disk, or remove that directory: it is made anew", Err: err}
	}
	return s, nil
}

// seenIn is the head that the process which has a cache saw last.
func seenIn(base string) plumbing.Hash {
	var s state
	if b, err := os.ReadFile(filepath.Join(base, "state.json")); err != nil || json.Unmarshal(b, &s) != nil {
		return plumbing.ZeroHash
	}
	return s.Seen
}

// load takes up what an earlier process left; what cannot be read is dropped,
// since all of it can be fetched again.
func (s *store) load() error {
	b, err := os.ReadFile(filepath.Join(s.base, "state.json"))
	if err == nil {
		err = json.Unmarshal(b, &s.state)
	}
	s.sweep()
	if err != nil || s.state.Head.IsZero() {
		return s.renew()
	}
	if s.objects, err = s.open(s.state.Generation); err != nil {
		return s.renew()
	}
	if _, err := s.commit(s.state.Head); err != nil {
		return s.renew()
	}
	return nil
}

// sweep removes what crashes left behind.
func (s *store) sweep() {
	removeTemps(filepath.Join(s.base, "state.json"))
	now := strconv.Itoa(s.state.Generation)
	entries, _ := os.ReadDir(s.base)
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil && e.Name() != now {
			_ = os.RemoveAll(filepath.Join(s.base, e.Name()))
		}
	}
	for _, pattern := range []string{"pack/tmp_pack_*", "pack/tmp_obj_*", "tmp_obj_*", "pack/tmp-*"} {
		left, _ := filepath.Glob(filepath.Join(s.base, now, "objects", pattern))
		for _, f := range left {
			_ = os.Remove(f)
		}
	}
}

// open opens one generation's database.
func (s *store) open(generation int) (*objects, error) {
	var where billy.Filesystem
	if s.base == "" {
		where = memfs.New()
	} else {
		dir := filepath.Join(s.base, strconv.Itoa(generation))
		if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o700); err != nil {
			return nil, fmt.Errorf("making the Git cache: %w", err)
		}
		where = osfs.New(dir, osfs.WithBoundOS())
	}
	db := filesystem.NewStorageWithOptions(where, cache.NewObjectLRU(16*cache.MiByte), filesystem.Options{MaxOpenDescriptors: 16})
	return &objects{db: db, where: where}, nil
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

// save writes the state down.
func (s *store) save() error {
	if s.base == "" {
		return nil
	}
	b, err := json.Marshal(s.state)
	if err != nil {
		return err
	}
	return writeDurably(filepath.Join(s.base, "state.json"), b)
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
	before := s.state.Generation - 1
	s.objects, s.state = to, next
	if err := s.save(); err != nil {
		return err
	}
	if s.base != "" {
		_ = os.RemoveAll(filepath.Join(s.base, strconv.Itoa(before)))
	}
	return nil
}

// copyLive streams the head's objects as one pack.
func (s *store) copyLive(to *objects) (int64, error) {
	list, err := s.live(s.state.Head)
	if err != nil {
		return 0, err
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(s.writeAll(w, list)) }()
	count := &counter{r: r}
	err = to.addPack(count)
	_ = r.CloseWithError(err) // ends the writer where the reader failed
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
	s.close()
	if s.lock == nil {
		return nil
	}
	return s.lock.release()
}

// writeDurably replaces a file so that after a crash the old or the new one is
// there, whole.
func writeDurably(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// removeTemps removes what crashes in writeDurably left beside path.
func removeTemps(path string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-*"))
	for _, f := range left {
		_ = os.Remove(f)
	}
}

// syncDir makes a rename in a directory outlast a crash.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if err != nil && strings.Contains(err.Error(), "invalid argument") {
		err = nil // some file systems have no such thing
	}
	return errors.Join(err, d.Close())
}

// packWeight is how many loose objects one more pack counts as: each makes
// finding any object slower.
const packWeight = 40

// advance makes a fetched or pushed commit the head. To tell a remote "have
// head" is true only together with the commits in Cut as "shallow".
func (s *store) advance(head plumbing.Hash, news int, bytes int64) error {
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
	return s.settle()
}

// settle writes the state down and compacts where it is time. That a cache
// cannot be written costs a fetch after the next start, and nothing now.
func (s *store) settle() error {
	if err := s.compact(); err != nil {
		return fmt.Errorf("compacting the Git cache: %w", err)
	}
	if err := s.save(); err != nil {
		return fmt.Errorf("writing the Git cache: %w", err)
	}
	return nil
}
