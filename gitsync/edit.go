package gitsync

import (
	"bytes"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// change is a directory of edits: for each name a file's new bytes (nil: it
// goes), or a directory below.
type change struct {
	file []byte
	dir  map[string]*change // nil for a file
}

// changesOf sorts edited paths into directories.
func changesOf(files map[string][]byte, below string) (*change, error) {
	root := &change{dir: map[string]*change{}}
	for path, data := range files {
		if !writable(path) {
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
				next = &change{dir: map[string]*change{}}
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
		at.dir[name] = &change{file: data}
	}
	return root, nil
}

// writable reports whether path may be written: relative, clean, and nothing
// that a checkout would take for its own .git.
func writable(path string) bool {
	if path == "." || !fs.ValidPath(path) || strings.ContainsAny(path, "\x00\\\n") {
		return false
	}
	for _, name := range strings.Split(path, "/") {
		if strings.EqualFold(name, ".git") {
			return false
		}
	}
	return true
}

// editor writes changed trees. Only the directories on the way to a change
// are read and written.
type editor struct {
	from *objects
	news []newObject
}

// apply gives the tree at old with the changes made; zero for an empty one.
func (e *editor) apply(old plumbing.Hash, c *change) (plumbing.Hash, error) {
	var entries []object.TreeEntry
	if !old.IsZero() {
		var err error
		if entries, err = e.from.entries(old); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	before := map[string]object.TreeEntry{}
	kept := make([]object.TreeEntry, 0, len(entries)+len(c.dir))
	for _, entry := range entries {
		if c.dir[entry.Name] != nil {
			before[entry.Name] = entry
		} else {
			kept = append(kept, entry)
		}
	}
	for name, sub := range c.dir {
		entry, err := e.entry(before[name], sub)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if !entry.Hash.IsZero() {
			entry.Name = name
			kept = append(kept, entry)
		}
	}
	return e.tree(old, kept)
}

// entry gives what a name stands for after its change; a zero hash: nothing.
func (e *editor) entry(was object.TreeEntry, c *change) (object.TreeEntry, error) {
	if c.dir != nil {
		old := plumbing.ZeroHash
		if was.Mode == filemode.Dir {
			old = was.Hash
		}
		h, err := e.apply(old, c)
		return object.TreeEntry{Mode: filemode.Dir, Hash: h}, err
	}
	if c.file == nil {
		return object.TreeEntry{}, nil
	}
	isFile := was.Mode.IsRegular() || was.Mode == filemode.Executable
	blob := makeObject(plumbing.BlobObject, c.file)
	now := object.TreeEntry{Mode: filemode.Regular, Hash: blob.hash}
	if isFile {
		now.Mode = was.Mode
	}
	if isFile && was.Hash == blob.hash {
		return now, nil
	}
	if isFile {
		if base, err := e.from.read(plumbing.BlobObject, was.Hash, maxLedgerFile); err == nil {
			blob.base, blob.baseData = was.Hash, base
		}
	}
	e.news = append(e.news, blob)
	return now, nil
}

// tree adds the tree object unless it is the old one.
func (e *editor) tree(old plumbing.Hash, entries []object.TreeEntry) (plumbing.Hash, error) {
	if len(entries) == 0 {
		return plumbing.ZeroHash, nil
	}
	sort.Sort(object.TreeEntrySorter(entries))
	var b bytes.Buffer
	for _, entry := range entries {
		fmt.Fprintf(&b, "%o %s\x00", uint32(entry.Mode), entry.Name)
		b.Write(entry.Hash[:])
	}
	tree := makeObject(plumbing.TreeObject, b.Bytes())
	if tree.hash == old {
		return old, nil
	}
	if !old.IsZero() {
		if base, err := e.from.read(plumbing.TreeObject, old, maxTree); err == nil {
			tree.base, tree.baseData = old, base
		}
	}
	e.news = append(e.news, tree)
	return tree.hash, nil
}
