package objects

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	gitpackfile "github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"certroll/gitsync/packfile"
	"certroll/spec/bounded"
)

// localObjects reads the objects of a repository on this machine: a config repo at a path,
// or a checkout in CI. Every user who may push has filled that repository. So localObjects
// builds an object only if its size, and the sizes of its whole chain of deltas, are within
// the bounds. go-git's own reader believes each size, holds a chain of deltas in memory at
// once, and checks no sizes in alternates.
type localObjects struct {
	*filesystem.Storage // for refs, the configuration, and hashes by prefix

	ctx   context.Context
	bound int64  // bytes of an object, and of each object in its chain
	left  int64  // bytes that localObjects may still inflate
	root  string // the directory with Git's data
	dirs  []objectDir
	made  map[packed]madeObject
	held  int64 // bytes in made
}

// objectDir is a directory of objects: the repository's own, or an alternate.
type objectDir struct {
	path  string
	packs []*packfile.Local
}

// packed is the position of an entry in a pack.
type packed struct {
	in *packfile.Local
	at int64
}

// madeObject is an object's type and bytes. See keep.
type madeObject struct {
	kind plumbing.ObjectType
	data []byte
}

const (
	// mostLocal bounds the bytes that reading one revision inflates.
	mostLocal = 64 << 30
	// MostChain is the longest chain of deltas that git makes (pack.depth in
	// git-config(1)).
	MostChain = 4096
	// mostMade bounds the bytes of bases that localObjects keeps. git stores similar files
	// as deltas of one another, so the next file often needs the same bases.
	mostMade = 16 << 20
	// mostDirs bounds the directories of objects of one repository. Alternates may name
	// alternates.
	mostDirs = 100
)

// OpenLocal opens a repository on this machine, with a reader that checks all sizes against
// limits. detect also searches the parents of path.
func OpenLocal(ctx context.Context, path string, detect bool, limits packfile.Bounds) (*git.Repository, *DB, error) {
	repo, err := openRepository(path, detect)
	if err != nil {
		return nil, nil, err
	}
	stored, ok := repo.Storer.(unconfigured)
	if !ok {
		return nil, nil, fmt.Errorf("the repository has a %T, which cannot be read", repo.Storer)
	}
	from := stored.Storage
	l := &localObjects{Storage: from, ctx: ctx, bound: limits.Delta, left: mostLocal, made: map[packed]madeObject{}, root: from.Filesystem().Root()}
	if err := l.list(); err != nil {
		return nil, nil, err
	}
	repo.Storer = l
	return repo, &DB{db: l, bound: limits}, nil
}

// list lists the objects directories and their packs.
func (l *localObjects) list() error {
	l.dirs = nil
	clear(l.made) // by pack
	l.held = 0
	for _, dir := range objectDirs(l.root) {
		packs, err := packfile.LocalIn(dir)
		if err != nil {
			return err
		}
		l.dirs = append(l.dirs, objectDir{dir, packs})
	}
	return nil
}

// mostListed bounds how often one read lists the packs again.
const mostListed = 3

// again calls read, and calls it again after listing the packs anew while an object is
// missing: git repack moves objects to a new pack before it removes the old ones, at any
// moment between two reads.
func again[T any](l *localObjects, read func() (T, error)) (T, error) {
	got, err := read()
	for n := 0; n < mostListed && gone(err) && l.ctx.Err() == nil; n++ {
		before := l.packs()
		if err := l.list(); err != nil {
			return got, err
		}
		if errors.Is(err, plumbing.ErrObjectNotFound) && slices.Equal(before, l.packs()) {
			break // it is not here: a shallow or partial clone
		}
		got, err = read()
	}
	return got, err
}

// gone reports whether an object, or the file that had it, is missing.
func gone(err error) bool {
	return errors.Is(err, plumbing.ErrObjectNotFound) || errors.Is(err, os.ErrNotExist)
}

// packs returns the paths of all packs, sorted.
func (l *localObjects) packs() []string {
	var list []string
	for _, dir := range l.dirs {
		for _, p := range dir.packs {
			list = append(list, p.Path)
		}
	}
	slices.Sort(list)
	return list
}

// Config returns an empty configuration, see unconfigured.
func (l *localObjects) Config() (*config.Config, error) { return unconfigured{l.Storage}.Config() }

// objectDirs returns the objects directories of a repository, its own first. A linked work
// tree uses those of the main one (gitrepository-layout(5)).
func objectDirs(gitDir string) []string {
	if b, err := bounded.File(filepath.Join(gitDir, "commondir"), maxName); err == nil {
		gitDir = below(gitDir, strings.TrimSpace(string(b)))
	}
	dirs := []string{filepath.Join(gitDir, "objects")}
	// While a hook runs, the pushed objects are in a quarantine directory
	// (git-receive-pack(1)).
	for _, pattern := range []string{"incoming-*", "tmp_objdir-incoming-*"} {
		more, _ := filepath.Glob(filepath.Join(packfile.EscapeGlob(dirs[0]), pattern))
		dirs = append(dirs, more...)
	}
	for i := 0; i < len(dirs); i++ {
		for _, dir := range alternates(dirs[i]) {
			if len(dirs) < mostDirs && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// maxName bounds a file that names directories, in bytes.
const maxName = 1 << 20

// alternates returns the directories that an objects directory borrows from. It skips a
// missing one, as git does.
func alternates(dir string) []string {
	b, err := bounded.File(filepath.Join(dir, "info", "alternates"), maxName)
	if err != nil {
		return nil
	}
	var list []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
		// git quotes a path with special characters as a C string.
		if plain, err := strconv.Unquote(line); err == nil {
			line = plain
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at := below(dir, line)
		if info, err := os.Stat(at); err == nil && info.IsDir() {
			list = append(list, at)
		}
	}
	return list
}

// below joins dir and path, unless path is absolute.
func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// spend counts inflated bytes. It returns an error over mostLocal, or when the context has
// ended.
func (l *localObjects) spend(n int64) error {
	if l.left -= n; l.left < 0 {
		return packfile.TooLarge("the objects that are read have more than %d bytes together when they are inflated", int64(mostLocal))
	}
	return l.ctx.Err()
}

// HasEncodedObject implements storer.EncodedObjectStorer.
func (l *localObjects) HasEncodedObject(h plumbing.Hash) error {
	_, err := again(l, func() (struct{}, error) {
		f, _, err := l.find(h)
		if f != nil {
			_ = f.Close()
		}
		return struct{}{}, err
	})
	return err
}

// EncodedObjectSize implements storer.EncodedObjectStorer. It reads only the head of the
// object.
func (l *localObjects) EncodedObjectSize(h plumbing.Hash) (int64, error) {
	return again(l, func() (int64, error) { return l.size(h) })
}

func (l *localObjects) size(h plumbing.Hash) (int64, error) {
	f, at, err := l.find(h)
	if err != nil {
		return 0, err
	}
	if f != nil {
		defer func() { _ = f.Close() }()
		_, size, _, err := looseHead(f)
		return size, err
	}
	s, err := l.scan(at.in)
	if err != nil {
		return 0, err
	}
	defer s.end()
	k, err := s.link(at.at)
	return k.size, err
}

// EncodedObject implements storer.EncodedObjectStorer. The result is in memory.
func (l *localObjects) EncodedObject(kind plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	o, err := again(l, func() (madeObject, error) { return l.read(h) })
	if err != nil {
		return nil, err
	}
	if kind != plumbing.AnyObject && kind != o.kind {
		return nil, plumbing.ErrObjectNotFound
	}
	obj := &plumbing.MemoryObject{}
	obj.SetType(o.kind)
	_, err = obj.Write(o.data)
	return obj, err
}

// read returns an object.
func (l *localObjects) read(h plumbing.Hash) (madeObject, error) {
	f, at, err := l.find(h)
	if err != nil {
		return madeObject{}, err
	}
	if f == nil {
		return l.packed(at)
	}
	defer func() { _ = f.Close() }()
	return l.loose(f)
}

// find returns the position of an object: an open file that the caller closes, or a place
// in a pack.
func (l *localObjects) find(h plumbing.Hash) (*os.File, packed, error) {
	name := h.String()
	for _, dir := range l.dirs {
		f, err := os.Open(filepath.Join(dir.path, name[:2], name[2:]))
		if err == nil {
			return f, packed{}, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, packed{}, err
		}
		for i, p := range dir.packs {
			at, err := p.Find(h)
			if err != nil {
				return nil, packed{}, err
			}
			if at != packfile.None {
				// Move the pack to the front: the next object is often in the same pack.
				copy(dir.packs[1:i+1], dir.packs[:i])
				dir.packs[0] = p
				return nil, packed{p, at}, nil
			}
		}
	}
	return nil, packed{}, plumbing.ErrObjectNotFound
}

// looseHead reads the head of a loose object, such as "blob 12". r continues with the
// object's bytes.
func looseHead(f io.Reader) (kind plumbing.ObjectType, size int64, r *bufio.Reader, err error) {
	z, err := zlib.NewReader(f)
	if err != nil {
		return 0, 0, nil, err
	}
	const longest = 64 // enough for a type and a size
	r = bufio.NewReaderSize(z, longest)
	head, err := r.ReadSlice(0)
	if err != nil {
		return 0, 0, nil, fmt.Errorf("an object without a head: %w", err)
	}
	name, digits, _ := strings.Cut(string(head[:len(head)-1]), " ")
	if kind, err = plumbing.ParseObjectType(name); err == nil {
		size, err = strconv.ParseInt(digits, 10, 64)
	}
	if err != nil || kind.IsDelta() || size < 0 {
		return 0, 0, nil, fmt.Errorf("an object whose head is %q", head)
	}
	return kind, size, r, nil
}

// loose reads a loose object.
func (l *localObjects) loose(f io.Reader) (madeObject, error) {
	kind, size, r, err := looseHead(f)
	if err == nil {
		err = l.allowed(size)
	}
	if err != nil {
		return madeObject{}, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return madeObject{}, err
	}
	// Content after the announced size would not be under the bound.
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return madeObject{}, fmt.Errorf("it has more than the %d bytes that it says: %w", size, err)
	}
	return madeObject{kind, data}, nil
}

// allowed checks a size against the bound, and counts it.
func (l *localObjects) allowed(size int64) error {
	if size > l.bound {
		return packfile.TooLarge("it has %d bytes, and may have %d", size, l.bound)
	}
	return l.spend(size)
}

// packScan reads one pack.
type packScan struct {
	*gitpackfile.Scanner
	l  *localObjects
	in *packfile.Local
	f  *os.File
}

func (l *localObjects) scan(p *packfile.Local) (*packScan, error) {
	f, err := os.Open(p.Path + ".pack")
	if err != nil {
		return nil, err
	}
	return &packScan{gitpackfile.NewScanner(f), l, p, f}, nil
}

func (s *packScan) end() { _ = s.f.Close() }

// link is an entry of a pack and its place in a chain of deltas.
type link struct {
	at, base int64               // base: the offset of a delta's base; packfile.None for a whole object
	kind     plumbing.ObjectType // of a whole object
	length   int64               // inflated bytes of the entry itself
	on, size int64               // bytes of the base and of the resulting object
}

// link reads the head of an entry, and the sizes at the start of a delta.
func (s *packScan) link(at int64) (link, error) {
	h, err := s.SeekObjectHeader(at)
	if err != nil {
		return link{}, err
	}
	k := link{at: at, base: packfile.None, kind: h.Type, length: h.Length, size: h.Length}
	switch h.Type {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
		return k, nil
	case plumbing.OFSDeltaObject:
		k.base = h.OffsetReference
	case plumbing.REFDeltaObject:
		if k.base, err = s.in.Find(h.Reference); err == nil && k.base == packfile.None {
			err = fmt.Errorf("the object at offset %d of %s.pack differs from %s, which is not in it", at, s.in.Path, h.Reference)
		}
	default:
		err = fmt.Errorf("an object of the unknown type %d at offset %d of %s.pack", h.Type, at, s.in.Path)
	}
	if err != nil {
		return link{}, err
	}
	r, err := s.ReadObject()
	if err != nil {
		return link{}, err
	}
	defer func() { _ = r.Close() }()
	var head packfile.DeltaHead
	if _, err := io.Copy(&head, io.LimitReader(r, 2*10)); err != nil { // two varints of ten bytes or fewer
		return link{}, err
	}
	k.on, k.size, err = head.Sizes()
	return k, err
}

// packed reads an object of a pack. It reads only heads until it reaches a whole object, so
// it checks all sizes before it inflates any. Then it applies the deltas, with one base,
// one delta and one result in memory.
func (l *localObjects) packed(o packed) (madeObject, error) {
	s, err := l.scan(o.in)
	if err != nil {
		return madeObject{}, err
	}
	defer s.end()
	var chain []link
	at, have := o, madeObject{}
	for {
		made, ok := l.made[at]
		if ok {
			have = made
			break
		}
		k, err := s.link(at.at)
		if err == nil {
			err = l.readable(k, len(chain))
		}
		if err == nil && k.base == packfile.None {
			have.kind = k.kind
			have.data, err = s.inflate(k)
		}
		if err != nil {
			return madeObject{}, err
		}
		if k.base == packfile.None {
			break
		}
		chain = append(chain, k)
		at.at = k.base
	}
	for _, k := range slices.Backward(chain) {
		l.keep(packed{o.in, k.base}, have)
		if have.data, err = s.patch(have.data, k); err != nil {
			return madeObject{}, err
		}
	}
	return have, nil
}

// readable checks the sizes of an entry against the bounds, before packed inflates it.
// depth is the number of deltas so far.
func (l *localObjects) readable(k link, depth int) error {
	const anew = "; store it anew (git repack -a -d -F there)"
	switch most := max(k.on, k.size); {
	case depth == MostChain:
		return packfile.TooLarge("it is stored as a chain of more than %d differences"+anew, MostChain)
	case most > l.bound && depth == 0 && k.base == packfile.None:
		return packfile.TooLarge("it has %d bytes, and may have %d", most, l.bound)
	case most > l.bound:
		return packfile.TooLarge("it is stored as a difference to an object of %d bytes, which is too large to be read: that may have %d"+anew, most, l.bound)
	case k.base != packfile.None && k.length > min(8*k.size+64, l.bound):
		// A delta instruction that makes one byte or more takes eight bytes or fewer
		// (gitformat-pack(5)). A longer delta is a bomb.
		return packfile.TooLarge("it is stored as a difference of %d bytes, and has %d"+anew, k.length, k.size)
	}
	return nil
}

// inflate returns the bytes of an entry that readable has accepted.
func (s *packScan) inflate(k link) ([]byte, error) {
	if err := s.l.spend(k.length); err != nil {
		return nil, err
	}
	if _, err := s.SeekObjectHeader(k.at); err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, k.length))
	if n, _, err := s.NextObject(b); err != nil || n != k.length {
		return nil, fmt.Errorf("the object at offset %d of %s.pack is cut short: %w", k.at, s.in.Path, err)
	}
	return b.Bytes(), nil
}

// patch applies a delta to the bytes of its base.
func (s *packScan) patch(on []byte, k link) ([]byte, error) {
	if err := s.l.spend(k.size); err != nil {
		return nil, err
	}
	delta, err := s.inflate(k)
	if err != nil {
		return nil, err
	}
	data, err := gitpackfile.PatchDelta(on, delta)
	if err != nil || int64(len(data)) != k.size {
		return nil, fmt.Errorf("the delta at offset %d of %s.pack does not fit what it differs from: %w", k.at, s.in.Path, err)
	}
	return data, nil
}

// keep remembers a base for later objects. It skips large bases, and forgets all when
// mostMade is exceeded.
func (l *localObjects) keep(at packed, o madeObject) {
	n := int64(len(o.data))
	if _, there := l.made[at]; there || n > mostMade/16 {
		return
	}
	if l.held += n; l.held > mostMade {
		clear(l.made)
		l.held = n
	}
	l.made[at] = o
}
