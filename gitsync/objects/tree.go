package objects

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"certroll/gitsync/packfile"
)

// TreeFS is the tree of one commit as an fs.FS. It reads a directory at its first use and
// keeps it. It reads a file at each call. It hides symbolic links and submodules.
type TreeFS struct {
	from *DB
	when time.Time // the commit's time, which every file reports
	mu   sync.Mutex
	dirs map[plumbing.Hash]*dir
	root plumbing.Hash // zero: empty
}

// dir is one directory, sorted by name.
type dir struct {
	list   []node
	byName map[string]int
}

type node struct {
	name string
	hash plumbing.Hash
	mode fs.FileMode
}

// NewTreeFS returns the tree at root; the zero hash is an empty tree.
func NewTreeFS(from *DB, root plumbing.Hash, when time.Time) *TreeFS {
	return &TreeFS{from: from, root: root, when: when, dirs: map[plumbing.Hash]*dir{plumbing.ZeroHash: {}}}
}

var (
	_ fs.ReadFileFS = (*TreeFS)(nil)
	_ fs.ReadDirFS  = (*TreeFS)(nil)
	_ fs.StatFS     = (*TreeFS)(nil)
	_ fs.SubFS      = (*TreeFS)(nil)
)

// Sub returns a directory as a file system. A missing directory is empty: a ledger's
// directory is missing until the first commit.
func (t *TreeFS) Sub(name string) (fs.FS, error) {
	if name == "." {
		return t, nil
	}
	n, err := t.find("sub", name)
	switch {
	case err == nil && n.mode.IsDir():
		return NewTreeFS(t.from, n.hash, t.when), nil
	case err == nil:
		return nil, &fs.PathError{Op: "sub", Path: name, Err: errNotDir}
	case isNotExist(err):
		return NewTreeFS(t.from, plumbing.ZeroHash, t.when), nil
	}
	return nil, err
}

var errNotDir = fmt.Errorf("not a directory: %w", fs.ErrInvalid)

// isNotExist reports whether the error of find is about a missing name.
func isNotExist(err error) bool {
	p, ok := err.(*fs.PathError) //nolint:errorlint // find returns exactly this
	return ok && errors.Is(p.Err, fs.ErrNotExist)
}

// load reads a directory, or returns the copy in memory.
func (t *TreeFS) load(h plumbing.Hash) (*dir, error) {
	// Hold the lock during the read, so that concurrent readers decode a tree once.
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.dirs[h]; d != nil {
		return d, nil
	}
	entries, err := t.from.Entries(h)
	if err != nil {
		return nil, t.from.Spoil(err)
	}
	d := &dir{list: make([]node, 0, len(entries)), byName: make(map[string]int, len(entries))}
	for _, e := range entries {
		n := node{name: e.Name, hash: e.Hash, mode: 0o644}
		switch e.Mode {
		case filemode.Dir:
			n.mode = fs.ModeDir | 0o755
		case filemode.Executable:
			n.mode = 0o755
		// A link could point anywhere, and a submodule's files are in another repository.
		case filemode.Symlink, filemode.Submodule:
			continue
		}
		if PlainName(e.Name) {
			d.list = append(d.list, n)
		}
	}
	// Git sorts a directory's name as if it ended in a slash; io/fs does not.
	sort.Slice(d.list, func(i, j int) bool { return d.list[i].name < d.list[j].name })
	for i, n := range d.list {
		d.byName[n.name] = i
	}
	t.dirs[h] = d
	return d, nil
}

// PlainName reports whether git would write a tree entry of this name. Any other name is an
// attack on a program that writes the entry to a disk.
func PlainName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\\\x00")
}

// find walks the path from the root to its entry.
func (t *TreeFS) find(op, name string) (node, error) {
	if !fs.ValidPath(name) {
		return node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	at := node{name: ".", hash: t.root, mode: fs.ModeDir | 0o755}
	if name == "." {
		return at, nil
	}
	for _, part := range strings.Split(name, "/") {
		if !at.mode.IsDir() {
			return node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		d, err := t.load(at.hash)
		if err != nil {
			return node{}, &fs.PathError{Op: op, Path: name, Err: err}
		}
		i, ok := d.byName[part]
		if !ok {
			return node{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		at = d.list[i]
	}
	return at, nil
}

// ReadFile returns the content of a file. For a file over MaxFile, as for a directory, the
// error matches fs.ErrInvalid.
func (t *TreeFS) ReadFile(name string) ([]byte, error) {
	n, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	data, err := t.from.Read(plumbing.BlobObject, n.hash, MaxFile)
	if errors.Is(err, packfile.ErrTooLarge) || t.from.StaysPacked() && errors.Is(err, plumbing.ErrObjectNotFound) {
		// The file is at fault, not the cache: Spoil must not drop the cache for it.
		err = fmt.Errorf("%w: it is larger than %d bytes, or stored as a difference to a file that is", fs.ErrInvalid, int64(MaxFile))
	}
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: t.from.Spoil(err)}
	}
	return data, nil
}

// ReadDir lists a directory without reading its files.
func (t *TreeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDir}
	}
	d, err := t.load(n.hash)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	list := make([]fs.DirEntry, len(d.list))
	for i, n := range d.list {
		list[i] = dirEntry{node: n, fs: t}
	}
	return list, nil
}

// Stat returns the FileInfo of a file. For the size it reads the head of the object.
func (t *TreeFS) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	n.name = path.Base(name)
	return t.info(n)
}

func (t *TreeFS) info(n node) (fs.FileInfo, error) {
	i := fileInfo{node: n, when: t.when}
	if n.mode.IsDir() {
		return i, nil
	}
	var err error
	i.size, err = t.from.Size(n.hash)
	return i, err
}

// Open opens a file, or a directory for listing.
func (t *TreeFS) Open(name string) (fs.File, error) {
	info, err := t.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		list, err := t.ReadDir(name)
		return &openDir{info: info, name: name, left: list}, err
	}
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &openFile{Reader: bytes.NewReader(data), info: info}, nil
}

type dirEntry struct {
	node
	fs *TreeFS
}

func (e dirEntry) Name() string               { return e.name }
func (e dirEntry) IsDir() bool                { return e.mode.IsDir() }
func (e dirEntry) Type() fs.FileMode          { return e.mode.Type() }
func (e dirEntry) Info() (fs.FileInfo, error) { return e.fs.info(e.node) }
func (e dirEntry) String() string             { return fs.FormatDirEntry(e) }

type fileInfo struct {
	node
	size int64
	when time.Time
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return i.size }
func (i fileInfo) Mode() fs.FileMode  { return i.mode }
func (i fileInfo) ModTime() time.Time { return i.when }
func (i fileInfo) IsDir() bool        { return i.mode.IsDir() }
func (i fileInfo) Sys() any           { return nil }
func (i fileInfo) String() string     { return fs.FormatFileInfo(i) }

type openFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info fs.FileInfo
	name string
	left []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(d.left) {
		if n > 0 && len(d.left) == 0 {
			return nil, io.EOF
		}
		n = len(d.left)
	}
	list := d.left[:n]
	d.left = d.left[n:]
	return list, nil
}

// MaxFile bounds one file of the ledger, in bytes. A month of events of a hundred thousand
// certificates takes about half of it.
const MaxFile = 64 << 20

// ObjectID returns the hash of the entry's Git object. Two entries with the same ID have
// the same content, directories including everything below.
func (e dirEntry) ObjectID() string { return e.hash.String() }
