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

// localObjects reads the objects of a repository on this machine (a config repo at a
// path, a checkout in CI). Everybody who may push has filled it, as the repository
// of a remote: so an object is made only where its size, and the sizes of all that it is
// stored as a difference to, are within the bounds. go-git's own reader believes
// each size, holds a chain of deltas in memory at once, and does not look at sizes
// in alternates.
type localObjects struct {
	*filesystem.Storage // refs, config, hashes by their beginning

	ctx   context.Context
	bound int64 // bytes of an object, and of each that it is made of
	left  int64 // bytes that may still be inflated
	dirs  []objectDir
	made  map[packed]madeObject
	held  int64 // bytes in made
}

// objectDir is a directory of objects: a repository's own, or an alternate.
type objectDir struct {
	path  string
	packs []*packfile.Local
}

// packed names an entry of a pack.
type packed struct {
	in *packfile.Local
	at int64
}

// madeObject is an object's type and bytes.
type madeObject struct {
	kind plumbing.ObjectType
	data []byte
}

const (
	// mostLocal is how many bytes may be inflated while one revision is read.
	mostLocal = 64 << 30
	// MostChain is the longest chain of deltas that git makes.
	MostChain = 4096
	// mostMade is how many bytes of what deltas differ from are kept, since files
	// that are alike are stored as differences to one another.
	mostMade = 16 << 20
	// mostDirs bounds how many directories of objects one repository may have.
	mostDirs = 100
)

// OpenLocal opens a repository on this machine with a reader of objects that holds
// them against bounds.
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
	l := &localObjects{Storage: from, ctx: ctx, bound: limits.Delta, left: mostLocal, made: map[packed]madeObject{}}
	for _, dir := range objectDirs(from.Filesystem().Root()) {
		packs, err := packfile.LocalIn(dir)
		if err != nil {
			return nil, nil, err
		}
		l.dirs = append(l.dirs, objectDir{dir, packs})
	}
	repo.Storer = l
	return repo, &DB{db: l, bound: limits}, nil
}

// Config is an empty one, as that of unconfigured.
func (l *localObjects) Config() (*config.Config, error) { return unconfigured{l.Storage}.Config() }

// objectDirs are the directories of objects of a repository, its own first. A work
// tree beside the main one shares those of the main one (gitrepository-layout(5)).
func objectDirs(gitDir string) []string {
	if b, err := bounded.File(filepath.Join(gitDir, "commondir"), maxName); err == nil {
		gitDir = below(gitDir, strings.TrimSpace(string(b)))
	}
	dirs := []string{filepath.Join(gitDir, "objects")}
	// What a push that a hook looks at has brought is in a directory of its own.
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

// maxName is how many bytes a file may have that names directories.
const maxName = 1 << 20

// alternates are the directories that one of objects borrows from. One that is not
// there is passed over, as git does.
func alternates(dir string) []string {
	b, err := bounded.File(filepath.Join(dir, "info", "alternates"), maxName)
	if err != nil {
		return nil
	}
	var list []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\n")
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

// below is a path that may be relative to a directory.
func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// spend counts what is inflated, and ends where it is too much or nobody waits any
// more.
func (l *localObjects) spend(n int64) error {
	if l.left -= n; l.left < 0 {
		return packfile.TooLarge("the objects that are read have more than %d bytes together when they are inflated", int64(mostLocal))
	}
	return l.ctx.Err()
}

// HasEncodedObject is storer.EncodedObjectStorer's.
func (l *localObjects) HasEncodedObject(h plumbing.Hash) error {
	f, _, err := l.find(h)
	if f != nil {
		_ = f.Close()
	}
	return err
}

// EncodedObjectSize is storer.EncodedObjectStorer's. It reads an object's head.
func (l *localObjects) EncodedObjectSize(h plumbing.Hash) (int64, error) {
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

// EncodedObject is storer.EncodedObjectStorer's. The object is in memory.
func (l *localObjects) EncodedObject(kind plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	f, at, err := l.find(h)
	if err != nil {
		return nil, err
	}
	var o madeObject
	if f != nil {
		o, err = l.loose(f)
		_ = f.Close()
	} else {
		o, err = l.packed(at)
	}
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

// find is where an object is: a file of its own, which is the caller's to close, or
// a place in a pack.
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
				// What is read next is often beside it.
				copy(dir.packs[1:i+1], dir.packs[:i])
				dir.packs[0] = p
				return nil, packed{p, at}, nil
			}
		}
	}
	return nil, packed{}, plumbing.ErrObjectNotFound
}

// looseHead reads the head of a file that holds one object, such as "blob 12". The
// reader goes on with the object's bytes.
func looseHead(f io.Reader) (kind plumbing.ObjectType, size int64, r *bufio.Reader, err error) {
	z, err := zlib.NewReader(f)
	if err != nil {
		return 0, 0, nil, err
	}
	const longest = 64 // of "commit" and a size
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

// loose reads an object that is a file of its own.
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
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return madeObject{}, fmt.Errorf("it has more than the %d bytes that it says: %w", size, err)
	}
	return madeObject{kind, data}, nil
}

// allowed holds a size against the bounds, and counts it.
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

// link is an entry of a pack, as its head describes it.
type link struct {
	at, base int64               // base: what a delta differs from; none: it is whole
	kind     plumbing.ObjectType // of a whole object
	length   int64               // inflated bytes of the entry
	on, size int64               // bytes of what a delta differs from, and of the object
}

// link reads an entry's head, and of a delta the first bytes.
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
	if _, err := io.Copy(&head, io.LimitReader(r, 2*10)); err != nil { // two numbers, of ten bytes at most
		return link{}, err
	}
	k.on, k.size, err = head.Sizes()
	return k, err
}

// packed reads an object of a pack. Its chain of deltas is followed by heads alone
// until an object that is whole, and then made from there, holding one object,
// one delta and one result.
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

// readable holds an entry's sizes against the bounds, before anything is inflated.
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
		// An instruction that makes a byte or more has eight bytes at most.
		return packfile.TooLarge("it is stored as a difference of %d bytes, and has %d"+anew, k.length, k.size)
	}
	return nil
}

// inflate reads what an entry holds, whose length is within the bounds.
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

// patch applies a delta.
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

// keep remembers what deltas differ from, as far as there is room.
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
