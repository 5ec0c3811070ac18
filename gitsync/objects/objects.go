package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"certroll/gitsync/packfile"
)

// DB is an object database that may be read from side by side; go-git's
// may not.
type DB struct {
	mu    sync.Mutex
	db    storer.Storer
	where billy.Filesystem // of a store of ours; nil: read only
	dir   string           // of a store of ours that is on a disk; ""
	// spoiled is set where an object of ours cannot be read: the next fetch brings
	// all of them again.
	spoiled atomic.Pointer[error]
	// Strict has the bytes of trees and blobs held against their names, which
	// was done already to what came in a pack.
	Strict bool
	bound  packfile.Bounds
	packed int // deltas that are here and too large to be read: see packfile.Bounds.Delta
}

// MaxPack is how many bytes a pack may have.
func (o *DB) MaxPack() int64 { return o.bound.Pack }

// AddPack adds all objects of a pack. It may come slowly over the network, so
// readers of what is here are kept out only while it is put in its place. A pack
// that goes beyond the bounds leaves nothing behind.
func (o *DB) AddPack(ctx context.Context, r io.Reader) (err error) {
	if o.where == nil {
		return errors.ErrUnsupported
	}
	f, err := o.where.TempFile(packDir, "tmp_pack_")
	if err != nil {
		return OnCache("keeping a pack", err)
	}
	kept := false
	defer func() {
		err = errors.Join(err, f.Close())
		if !kept || err != nil {
			_ = o.where.Remove(f.Name())
		}
	}()
	n, err := io.Copy(cacheWriter{f}, r)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	x, err := packfile.NewIndex(ctx, f, n, o.bound)
	switch {
	case err != nil:
		return err
	case x.Empty(): // all of it was here
		return nil
	case x.Dense() && !o.bound.Lenient:
		return x.Refusal(func(tree plumbing.Hash) ([]byte, error) { return o.Read(plumbing.TreeObject, tree, packfile.MaxTree) })
	}
	kept = true
	return o.place(f, x)
}

const packDir = "objects/pack"

// place moves a pack to where it is read from. Its index comes first: without
// the pack nobody looks at it, and a pack is never without one.
func (o *DB) place(f billy.File, x *packfile.Index) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	base := o.where.Join(packDir, "pack-"+x.Sum.String())
	idx, err := o.where.TempFile(packDir, "tmp_idx_")
	if err != nil {
		return OnCache("keeping a pack", err)
	}
	err = errors.Join(x.Write(idx), onDisk(idx), idx.Close(), onDisk(f))
	if err == nil {
		err = o.where.Rename(idx.Name(), base+".idx")
	}
	if err == nil {
		err = o.where.Rename(f.Name(), base+".pack")
	}
	if err != nil {
		_ = o.where.Remove(idx.Name())
		return OnCache("keeping a pack", err)
	}
	o.packed += x.Packed
	if db, ok := o.db.(interface{ Reindex() }); ok {
		db.Reindex() // it looks for packs anew
	}
	return nil
}

// StaysPacked tells whether deltas are here that are too large to be read.
func (o *DB) StaysPacked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.packed > 0
}

// onDisk has what was written to a file on the disk, where it is on one.
func onDisk(f billy.File) error {
	if d, ok := f.(interface{ Sync() error }); ok {
		return d.Sync()
	}
	return nil
}

// Close gives back the open files; reading opens them again.
func (o *DB) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if db, ok := o.db.(io.Closer); ok {
		_ = db.Close()
	}
}

// put adds new objects, which are on the disk when it returns. Many of them come as
// one pack: each loose object waits for the disk.
func (o *DB) put(news []packfile.Object) error {
	if o.dir != "" && len(news) > PackWeight {
		pack, err := packfile.Of(news, false)
		if err != nil {
			return err
		}
		return o.AddPack(context.Background(), bytes.NewReader(pack)) // no remote has a part in it
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range news {
		obj := o.db.NewEncodedObject()
		obj.SetType(n.Kind)
		obj.SetSize(int64(len(n.Data)))
		w, err := obj.Writer()
		if err == nil {
			_, err = w.Write(n.Data)
		}
		if err == nil {
			_, err = o.db.SetEncodedObject(obj)
		}
		if err == nil && o.dir != "" {
			err = o.syncLoose(n.Hash)
		}
		if err != nil {
			return OnCache("keeping object "+n.Hash.String(), err)
		}
	}
	return nil
}

// bounded reads an object's head and returns the object, whose bytes are in
// memory only where they are not too many. The caller has the lock.
func (o *DB) bounded(kind plumbing.ObjectType, h plumbing.Hash, most int64) (plumbing.EncodedObject, error) {
	size, err := o.db.EncodedObjectSize(h)
	if err == nil && size > most {
		return nil, packfile.TooLarge("%s %s has %d bytes, and one may have %d", kind, h, size, most)
	}
	obj, err := o.db.EncodedObject(kind, h)
	if err == nil && obj.Size() > most {
		return nil, packfile.TooLarge("%s %s has %d bytes, and one may have %d", kind, h, obj.Size(), most)
	}
	return obj, err
}

// Commit reads a commit.
func (o *DB) Commit(h plumbing.Hash) (*object.Commit, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	obj, err := o.bounded(plumbing.CommitObject, h, packfile.MaxCommit)
	var c *object.Commit
	if err == nil {
		c, err = object.DecodeCommit(o.db, obj)
	}
	if err != nil {
		return nil, fmt.Errorf("reading commit %s: %w", h, err)
	}
	return c, nil
}

// Peel follows annotated tags to the commit.
func (o *DB) Peel(h plumbing.Hash) (plumbing.Hash, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range 10 {
		obj, err := o.bounded(plumbing.AnyObject, h, packfile.MaxCommit)
		if err != nil {
			return plumbing.ZeroHash, fmt.Errorf("reading object %s: %w", h, err)
		}
		switch obj.Type() {
		case plumbing.CommitObject:
			return h, nil
		case plumbing.TagObject:
			tag, err := object.DecodeTag(o.db, obj)
			if err != nil {
				return plumbing.ZeroHash, fmt.Errorf("reading tag %s: %w", h, err)
			}
			h = tag.Target
		default:
			return plumbing.ZeroHash, fmt.Errorf("object %s is a %s, no commit", h, obj.Type())
		}
	}
	return plumbing.ZeroHash, fmt.Errorf("tag %s points at tags without end", h)
}

// Entries reads one tree.
func (o *DB) Entries(h plumbing.Hash) ([]object.TreeEntry, error) {
	if o.Strict {
		if _, err := o.Read(plumbing.TreeObject, h, packfile.MaxTree); err != nil {
			return nil, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	obj, err := o.bounded(plumbing.TreeObject, h, packfile.MaxTree)
	var t *object.Tree
	if err == nil {
		t, err = object.DecodeTree(o.db, obj)
	}
	if err != nil {
		return nil, fmt.Errorf("reading tree %s: %w", h, err)
	}
	return t.Entries, nil
}

// Size is a blob's, without reading it.
func (o *DB) Size(h plumbing.Hash) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	size, err := o.db.EncodedObjectSize(h)
	if err != nil {
		return 0, fmt.Errorf("reading the size of blob %s: %w", h, err)
	}
	return size, nil
}

// Read gives a whole object's bytes, which are the caller's to keep, and which
// are not more than so many.
func (o *DB) Read(kind plumbing.ObjectType, h plumbing.Hash, most int64) (data []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	obj, err := o.bounded(kind, h, most)
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", kind, h, err)
	}
	r, err := obj.Reader()
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", kind, h, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data = make([]byte, obj.Size())
	if _, err = io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", kind, h, err)
	}
	if o.Strict && plumbing.ComputeHash(kind, data) != h {
		return nil, fmt.Errorf("reading %s %s: its bytes are not those that its hash names; run git fsck there", kind, h)
	}
	return data, nil
}

// Has reports whether the object is here.
func (o *DB) Has(h plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.db.HasEncodedObject(h) == nil
}

// Descends reports whether wanted is tip or one of its ancestors, as far as
// history is here. The wanted commit itself need not be. What lies behind stop
// is not looked at.
func (o *DB) Descends(tip, wanted, stop plumbing.Hash) bool {
	seen := map[plumbing.Hash]bool{stop: true}
	for queue := []plumbing.Hash{tip}; len(queue) > 0; queue = queue[1:] {
		h := queue[0]
		if h == wanted {
			return true
		}
		if seen[h] {
			continue
		}
		seen[h] = true
		if c, err := o.Commit(h); err == nil {
			queue = append(queue, c.ParentHashes...)
		}
	}
	return false
}

// boundary lists the ancestors of tip, itself included, that are here while a
// parent of theirs is not, and whether it came upon known, where it stops.
func (o *DB) boundary(tip, known plumbing.Hash) (cut []plumbing.Hash, met bool) {
	seen := map[plumbing.Hash]bool{tip: true}
	for queue := []plumbing.Hash{tip}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == known {
			met = true
			continue
		}
		c, err := o.Commit(queue[0])
		if err != nil {
			continue
		}
		missing := false
		for _, parent := range c.ParentHashes {
			if !o.Has(parent) {
				missing = true
			} else if !seen[parent] {
				seen[parent] = true
				queue = append(queue, parent)
			}
		}
		if missing {
			cut = append(cut, c.Hash)
		}
	}
	return cut, met
}

// live lists what one revision needs: a commit, its trees and its blobs, less
// those that are too large to be ever read, which left counts.
func (o *DB) live(commit plumbing.Hash) (list []plumbing.Hash, left int, err error) {
	c, err := o.Commit(commit)
	if err != nil {
		return nil, 0, err
	}
	list = []plumbing.Hash{commit, c.TreeHash}
	seen := map[plumbing.Hash]bool{c.TreeHash: true}
	for trees := []plumbing.Hash{c.TreeHash}; len(trees) > 0; { // however deep they nest
		entries, err := o.Entries(trees[len(trees)-1])
		if err != nil {
			return nil, 0, err
		}
		trees = trees[:len(trees)-1]
		for _, e := range entries {
			if e.Mode == filemode.Submodule || seen[e.Hash] {
				continue
			}
			seen[e.Hash] = true
			if e.Mode == filemode.Dir {
				trees = append(trees, e.Hash)
			} else if size, err := o.Size(e.Hash); err == nil && size > o.bound.Delta || o.StaysPacked() && errors.Is(err, plumbing.ErrObjectNotFound) {
				left++
				continue
			} else if err != nil {
				return nil, 0, err
			}
			list = append(list, e.Hash)
		}
	}
	return list, left, nil
}

// any reads an object of whatever type.
func (o *DB) any(h plumbing.Hash) (plumbing.ObjectType, []byte, error) {
	o.mu.Lock()
	obj, err := o.bounded(plumbing.AnyObject, h, max(o.bound.Delta, packfile.MaxTree))
	o.mu.Unlock()
	if err != nil {
		return plumbing.InvalidObject, nil, fmt.Errorf("reading object %s: %w", h, err)
	}
	data, err := o.Read(obj.Type(), h, obj.Size())
	return obj.Type(), data, err
}

// Subtree walks down to a directory; zero where there is none.
func Subtree(from *DB, root plumbing.Hash, directory string) (plumbing.Hash, error) {
	if directory == "" {
		return root, nil
	}
	at := root
	for _, name := range strings.Split(directory, "/") {
		entries, err := from.Entries(at)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		i := slices.IndexFunc(entries, func(e object.TreeEntry) bool { return e.Name == name && e.Mode == filemode.Dir })
		if i < 0 {
			return plumbing.ZeroHash, nil
		}
		at = entries[i].Hash
	}
	return at, nil
}
