package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// DB is an object database that is safe for concurrent readers. go-git's storage is not.
type DB struct {
	mu    sync.Mutex
	db    storer.Storer
	where billy.Filesystem // the files of a Store; nil for another user's repository, which is read-only
	dir   string           // the directory of a Store on a disk; else ""
	// spoiled is the error of the last object that could not be read; see Spoil.
	spoiled atomic.Pointer[error]
	// Strict checks the bytes of trees and blobs against their hashes. AddPack has done so
	// for a pack that it indexed, but a disk or another user may have changed them since.
	Strict bool
	bound  packfile.Bounds
	packed int // number of deltas here that are too large to read: see packfile.Bounds.Delta
}

// MaxPack returns the largest pack that AddPack accepts, in bytes.
func (o *DB) MaxPack() int64 { return o.bound.Pack }

// AddPack adds all objects of a pack. The pack may arrive slowly over the network, so
// AddPack locks out readers only while it renames the finished files. After an error it
// leaves nothing behind.
func (o *DB) AddPack(ctx context.Context, r io.Reader) (err error) {
	if o.where == nil {
		return errors.ErrUnsupported
	}
	f, err := o.where.TempFile(packDir, "tmp_pack_")
	if err != nil {
		return OnCache("keeping a pack", err)
	}
	found := false
	defer func() {
		err = errors.Join(err, f.Close())
		if !found || err != nil {
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
	case x.Empty(): // the server had nothing new
		return nil
	case x.Dense() && !o.bound.Lenient:
		return x.Refusal(func(tree plumbing.Hash) ([]byte, error) { return o.Read(plumbing.TreeObject, tree, packfile.MaxTree) })
	}
	found = true
	return o.place(f, x)
}

const packDir = "objects/pack"

// place moves a pack and its index to their final names. The index goes first: a reader
// finds a pack by its .pack file, so it never finds a pack without an index.
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
		db.Reindex() // it lists the packs again
	}
	return nil
}

// StaysPacked reports whether the database has deltas that are too large to read.
func (o *DB) StaysPacked() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.packed > 0
}

// onDisk syncs a file if it is on a disk.
func onDisk(f billy.File) error {
	// Files in memory have no Sync.
	if d, ok := f.(interface{ Sync() error }); ok {
		return d.Sync()
	}
	return nil
}

// Close closes the open files; a later read opens them again.
func (o *DB) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if db, ok := o.db.(io.Closer); ok {
		_ = db.Close()
	}
}

// put adds new objects and makes them durable. It writes many objects as one pack, because
// each loose object costs an fsync.
func (o *DB) put(news []packfile.Object) error {
	if o.dir != "" && len(news) > PackWeight {
		pack, err := packfile.Of(news, false)
		if err != nil {
			return err
		}
		return o.AddPack(context.Background(), bytes.NewReader(pack)) // no remote is involved, so there is nothing to cancel
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

// bounded returns an object if its size is at most most. It checks the size before go-git
// loads the object into memory, and again afterwards. The caller holds the lock.
func (o *DB) bounded(kind plumbing.ObjectType, h plumbing.Hash, most int64) (plumbing.EncodedObject, error) {
	size, err := o.db.EncodedObjectSize(h)
	if err == nil && size > most {
		return nil, packfile.TooLarge("%s %s has %d bytes, and one may have %d", kind, h, size, most)
	}
	obj, err := o.db.EncodedObject(kind, h)
	if err == nil && obj.Size() > most {
		return nil, packfile.TooLarge("%s %s has %d bytes, and one may have %d", kind, h, obj.Size(), most)
	}
	return obj, unreadable(err)
}

// unreadable keeps an error from matching fs.ErrNotExist: the tree names the object, so a
// missing file of the database is damage, and no answer that the object does not exist.
func unreadable(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New(err.Error())
	}
	return err
}

// Commit returns a parsed commit.
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

// Peel follows annotated tags from h to a commit. Ten tags deep is enough, and ends a
// cycle.
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

// Entries returns the entries of a tree.
func (o *DB) Entries(h plumbing.Hash) ([]object.TreeEntry, error) {
	// go-git decodes a tree without checking its hash.
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

// Size returns the size of a blob in bytes, without reading its content.
func (o *DB) Size(h plumbing.Hash) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	size, err := o.db.EncodedObjectSize(h)
	if err != nil {
		return 0, fmt.Errorf("reading the size of blob %s: %w", h, unreadable(err))
	}
	return size, nil
}

// Read returns the bytes of an object of at most most bytes. The caller owns the slice.
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

// Has reports whether the database has the object.
func (o *DB) Has(h plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.db.HasEncodedObject(h) == nil
}

// Descends reports whether wanted is tip or one of its ancestors, within the history that
// is here. The wanted commit itself may be missing: the hash in its child is enough. The
// search does not pass stop.
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

// boundary returns the ancestors of tip, including tip, that have a missing parent: the
// "shallow" commits of gitprotocol-pack(5). The search stops at known, and met reports
// whether it reached it.
func (o *DB) boundary(tip, known plumbing.Hash) (cut []plumbing.Hash, met bool) {
	seen := map[plumbing.Hash]bool{tip: true}
	for queue := []plumbing.Hash{tip}; len(queue) > 0; queue = queue[1:] {
		// Its missing ancestors are in State.Cut already.
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

// live returns the objects of one revision: the commit, its trees and its blobs. It leaves
// out blobs that are too large to read, and counts them in left.
func (o *DB) live(commit plumbing.Hash) (list []plumbing.Hash, left int, err error) {
	c, err := o.Commit(commit)
	if err != nil {
		return nil, 0, err
	}
	list = []plumbing.Hash{commit, c.TreeHash}
	seen := map[plumbing.Hash]bool{c.TreeHash: true}
	for trees := []plumbing.Hash{c.TreeHash}; len(trees) > 0; { // a loop, because the depth is not bounded here
		entries, err := o.Entries(trees[len(trees)-1])
		if err != nil {
			return nil, 0, err
		}
		trees = trees[:len(trees)-1]
		for _, e := range entries {
			// The commit of a submodule is in another repository.
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

// any returns an object of any type.
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

// Subtree returns the tree of a directory; the zero hash if there is none.
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
