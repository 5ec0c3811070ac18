package gitsync

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// objects is an object database that may be read from side by side; go-git's
// may not.
type objects struct {
	mu    sync.Mutex
	db    storer.Storer
	where billy.Filesystem // of a store of ours; nil: read only
	// strict has the bytes of trees and blobs held against their names, which
	// was done already to what came in a pack.
	strict bool
}

// addPack adds all objects of a pack. It may come slowly over the network, so
// readers of what is here are kept out only while it is put in its place.
func (o *objects) addPack(r io.Reader) error {
	w, err := o.packWriter()
	if err != nil {
		return fmt.Errorf("keeping a pack: %w", err)
	}
	_, err = io.Copy(w, r) // an empty one says that all of it was here
	o.mu.Lock()
	defer o.mu.Unlock()
	if err = errors.Join(err, w.Close()); err != nil {
		o.dropHalves()
	}
	return err
}

func (o *objects) packWriter() (io.WriteCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	db, ok := o.db.(storer.PackfileWriter)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return db.PackfileWriter()
}

// dropHalves removes what is there of a pack that did not come whole, which
// go-git leaves behind: a remote that breaks off each time, or whose packs are
// too large, would fill the disk.
func (o *objects) dropHalves() {
	if o.where == nil {
		return
	}
	const dir = "objects/pack"
	entries, _ := o.where.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "tmp_pack_") {
			_ = o.where.Remove(o.where.Join(dir, e.Name()))
		}
	}
}

// close gives back the open files; reading opens them again.
func (o *objects) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if db, ok := o.db.(io.Closer); ok {
		_ = db.Close()
	}
}

// put adds new objects.
func (o *objects) put(news []newObject) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range news {
		obj := o.db.NewEncodedObject()
		obj.SetType(n.kind)
		obj.SetSize(int64(len(n.data)))
		w, err := obj.Writer()
		if err == nil {
			_, err = w.Write(n.data)
		}
		if err == nil {
			_, err = o.db.SetEncodedObject(obj)
		}
		if err != nil {
			return fmt.Errorf("keeping object %s: %w", n.hash, err)
		}
	}
	return nil
}

// commit reads a commit.
func (o *objects) commit(h plumbing.Hash) (*object.Commit, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c, err := object.GetCommit(o.db, h)
	if err != nil {
		return nil, fmt.Errorf("reading commit %s: %w", h, err)
	}
	return c, nil
}

// peel follows annotated tags to the commit.
func (o *objects) peel(h plumbing.Hash) (plumbing.Hash, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range 10 {
		obj, err := o.db.EncodedObject(plumbing.AnyObject, h)
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

// entries reads one tree.
func (o *objects) entries(h plumbing.Hash) ([]object.TreeEntry, error) {
	if o.strict {
		if _, err := o.read(plumbing.TreeObject, h); err != nil {
			return nil, err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	t, err := object.GetTree(o.db, h)
	if err != nil {
		return nil, fmt.Errorf("reading tree %s: %w", h, err)
	}
	return t.Entries, nil
}

// size is a blob's, without reading it.
func (o *objects) size(h plumbing.Hash) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	size, err := o.db.EncodedObjectSize(h)
	if err != nil {
		return 0, fmt.Errorf("reading the size of blob %s: %w", h, err)
	}
	return size, nil
}

// read gives a whole object's bytes, which are the caller's to keep.
func (o *objects) read(kind plumbing.ObjectType, h plumbing.Hash) (data []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	obj, err := o.db.EncodedObject(kind, h)
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
	if o.strict && plumbing.ComputeHash(kind, data) != h {
		return nil, fmt.Errorf("reading %s %s: its bytes are not those that its hash names; run git fsck there", kind, h)
	}
	return data, nil
}

// has reports whether the object is here.
func (o *objects) has(h plumbing.Hash) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.db.HasEncodedObject(h) == nil
}

// descends reports whether wanted is tip or one of its ancestors, as far as
// history is here. The wanted commit itself need not be. What lies behind stop
// is not looked at.
func (o *objects) descends(tip, wanted, stop plumbing.Hash) bool {
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
		if c, err := o.commit(h); err == nil {
			queue = append(queue, c.ParentHashes...)
		}
	}
	return false
}

// boundary lists the ancestors of tip, itself included, that are here while a
// parent of theirs is not, and whether it came upon known, where it stops.
func (o *objects) boundary(tip, known plumbing.Hash) (cut []plumbing.Hash, met bool) {
	seen := map[plumbing.Hash]bool{tip: true}
	for queue := []plumbing.Hash{tip}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == known {
			met = true
			continue
		}
		c, err := o.commit(queue[0])
		if err != nil {
			continue
		}
		missing := false
		for _, parent := range c.ParentHashes {
			if !o.has(parent) {
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

// live lists a commit, its trees and its blobs: what one revision needs.
func (o *objects) live(commit plumbing.Hash) ([]plumbing.Hash, error) {
	c, err := o.commit(commit)
	if err != nil {
		return nil, err
	}
	list := []plumbing.Hash{commit}
	seen := map[plumbing.Hash]bool{}
	var walk func(tree plumbing.Hash) error
	walk = func(tree plumbing.Hash) error {
		if seen[tree] {
			return nil
		}
		seen[tree] = true
		list = append(list, tree)
		entries, err := o.entries(tree)
		if err != nil {
			return err
		}
		for _, e := range entries {
			switch {
			case e.Mode == filemode.Dir:
				if err := walk(e.Hash); err != nil {
					return err
				}
			case e.Mode != filemode.Submodule && !seen[e.Hash]:
				seen[e.Hash] = true
				list = append(list, e.Hash)
			}
		}
		return nil
	}
	return list, walk(c.TreeHash)
}

// any reads an object of whatever type.
func (o *objects) any(h plumbing.Hash) (plumbing.ObjectType, []byte, error) {
	o.mu.Lock()
	obj, err := o.db.EncodedObject(plumbing.AnyObject, h)
	o.mu.Unlock()
	if err != nil {
		return plumbing.InvalidObject, nil, fmt.Errorf("reading object %s: %w", h, err)
	}
	data, err := o.read(obj.Type(), h)
	return obj.Type(), data, err
}
