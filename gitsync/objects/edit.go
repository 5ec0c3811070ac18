package objects

import (
	"bytes"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"certroll/gitsync/packfile"
)

// Change is an edit of one name in a tree: the new bytes of a file, a deletion, or a
// directory of edits.
type Change struct {
	file []byte
	dir  map[string]*Change // nil for a file
}

// ChangesOf sorts the edits by path into a tree of directories, below a directory. A nil
// slice deletes the file.
func ChangesOf(files map[string][]byte, below string) (*Change, error) {
	root := &Change{dir: map[string]*Change{}}
	for path, data := range files {
		if !Writable(path) {
			return nil, fmt.Errorf("%q is no path of a file in a Git tree", path)
		}
		if below != "" {
			path = below + "/" + path
		}
		at := root
		parts := strings.Split(path, "/")
		for _, name := range parts[:len(parts)-1] {
			next := at.dir[name]
			if next == nil {
				next = &Change{dir: map[string]*Change{}}
				at.dir[name] = next
			}
			if next.dir == nil {
				return nil, fmt.Errorf("%q is edited both as a file and as a directory", path)
			}
			at = next
		}
		name := parts[len(parts)-1]
		if at.dir[name] != nil {
			return nil, fmt.Errorf("%q is edited both as a file and as a directory", path)
		}
		at.dir[name] = &Change{file: data}
	}
	return root, nil
}

// Writable reports whether a ledger may contain path: relative, clean, and without a name
// that a checkout would take for its own .git.
func Writable(path string) bool {
	if path == "." || !fs.ValidPath(path) || strings.ContainsAny(path, "\x00\\\n") {
		return false
	}
	for _, name := range strings.Split(path, "/") {
		// Case does not matter: some file systems ignore it.
		if strings.EqualFold(name, ".git") {
			return false
		}
	}
	return true
}

// Editor builds changed trees. It reads and writes only the directories between the root
// and a changed file. News are the new objects.
type Editor struct {
	From *DB
	News []packfile.Object
}

// Apply returns the tree old with the changes applied; the zero hash for an empty tree,
// which Git does not store.
func (e *Editor) Apply(old plumbing.Hash, c *Change) (plumbing.Hash, error) {
	var entries []object.TreeEntry
	if !old.IsZero() {
		var err error
		if entries, err = e.From.Entries(old); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	before := map[string]object.TreeEntry{}
	merged := make([]object.TreeEntry, 0, len(entries)+len(c.dir))
	for _, entry := range entries {
		if c.dir[entry.Name] != nil {
			before[entry.Name] = entry
		} else {
			merged = append(merged, entry)
		}
	}
	for name, sub := range c.dir {
		entry, err := e.entry(before[name], sub)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if !entry.Hash.IsZero() {
			entry.Name = name
			merged = append(merged, entry)
		}
	}
	return e.tree(old, merged)
}

// entry returns the tree entry after a change; a zero hash if the name goes.
func (e *Editor) entry(was object.TreeEntry, c *Change) (object.TreeEntry, error) {
	if c.dir != nil {
		old := plumbing.ZeroHash
		if was.Mode == filemode.Dir {
			old = was.Hash
		}
		h, err := e.Apply(old, c)
		return object.TreeEntry{Mode: filemode.Dir, Hash: h}, err
	}
	if c.file == nil {
		return object.TreeEntry{}, nil
	}
	isFile := was.Mode.IsRegular() || was.Mode == filemode.Executable
	blob := packfile.NewObject(plumbing.BlobObject, c.file)
	// A file keeps its mode: an executable stays executable.
	now := object.TreeEntry{Mode: filemode.Regular, Hash: blob.Hash}
	if isFile {
		now.Mode = was.Mode
	}
	// The content is the same: nothing to push.
	if isFile && was.Hash == blob.Hash {
		return now, nil
	}
	if isFile {
		if base, err := e.From.Read(plumbing.BlobObject, was.Hash, MaxFile); err == nil {
			// The old version is the base of the pushed delta. Without it the push sends
			// the whole file.
			blob.Base, blob.BaseData = was.Hash, base
		}
	}
	e.News = append(e.News, blob)
	return now, nil
}

// tree adds the tree object to News unless it equals the old one.
func (e *Editor) tree(old plumbing.Hash, entries []object.TreeEntry) (plumbing.Hash, error) {
	if len(entries) == 0 {
		return plumbing.ZeroHash, nil
	}
	// Git requires this order, and the hash depends on it.
	sort.Sort(object.TreeEntrySorter(entries))
	var b bytes.Buffer
	for _, entry := range entries {
		fmt.Fprintf(&b, "%o %s\x00", uint32(entry.Mode), entry.Name)
		b.Write(entry.Hash[:])
	}
	tree := packfile.NewObject(plumbing.TreeObject, b.Bytes())
	if tree.Hash == old {
		return old, nil
	}
	if !old.IsZero() {
		if base, err := e.From.Read(plumbing.TreeObject, old, packfile.MaxTree); err == nil {
			tree.Base, tree.BaseData = old, base
		}
	}
	e.News = append(e.News, tree)
	return tree.Hash, nil
}
