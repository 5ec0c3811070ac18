package gitsync

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
	"certroll/spec/text"
)

// Revision is one commit of the config repo.
type Revision struct {
	Commit  string    // full hash; for a plain directory see ReadDir
	Author  string    // "Name <mail>"
	Time    time.Time // when it was committed
	Subject string    // first line of the message
	Files   []File    // *.hcl files below the directory, sorted by path
	// Directory is the path of the files in the repository; "" for its root, and outside a
	// repository.
	Directory string
	// Unread are the entries there that certroll does not read: links, submodules, files
	// with similar names.
	Unread []Unread
	// Astray are the files of a work tree that Git does not have; only ReadDir sets it.
	Astray []Astray `json:"-"`
}

// File is one file of a revision.
type File struct {
	Path  string // relative to the directory, with slashes
	Bytes []byte
}

// Limits bound one revision. A zero field means the default.
type Limits struct {
	FileSize int64 // bytes of one file; 1 MiB
	Files    int   // number of files; 50,000
	Total    int64 // bytes of all files; 256 MiB
	Pack     int64 // bytes of one fetch, whatever it holds; 1 GiB
	Object   int64 // bytes of any file that is packed more than a hundred times as densely, as only bombs are; 512 MiB
	Objects  int   // number of files, directories and commits in one fetch; 1,000,000
	Inflated int64 // inflated bytes of all objects of one fetch; 8 GiB
}

func (l Limits) withDefaults() Limits {
	if l.FileSize <= 0 {
		l.FileSize = 1 << 20
	}
	if l.Files <= 0 {
		l.Files = 50_000
	}
	if l.Total <= 0 {
		l.Total = 256 << 20
	}
	if l.Pack <= 0 {
		l.Pack = 1 << 30
	}
	if l.Object <= 0 {
		l.Object = 512 << 20
	}
	if l.Objects <= 0 {
		l.Objects = 1_000_000
	}
	if l.Inflated <= 0 {
		l.Inflated = 8 << 30
	}
	return l
}

// bounds returns the limits of a fetch. Delta is large enough for every file and directory
// that certroll reads.
func (l Limits) bounds() packfile.Bounds {
	return packfile.Bounds{Pack: l.Pack, Objects: l.Objects, Object: l.Object, Delta: max(l.FileSize, packfile.MaxTree), Total: l.Inflated}
}

// tally checks a growing revision against the limits.
type tally struct {
	Limits
	doing string
	files int
	bytes int64
}

// add counts one file.
func (t *tally) add(file string, size int64) error {
	t.files++
	t.bytes += size
	switch {
	case strings.ContainsFunc(file, unseen):
		return fault.BadSetting(t.doing, fmt.Sprintf("the name of the file %+q has a character that is not seen, or is no UTF-8", file), "rename it: names are shown to people, and to programs that read lines")
	case size > t.FileSize:
		return t.tooLarge(fmt.Sprintf("%s has %d bytes, and a file may have %d", file, size, t.FileSize),
			"split the file")
	case t.files > t.Files:
		return t.tooMany()
	case t.bytes > t.Total:
		return t.tooLarge(fmt.Sprintf("the *.hcl files have more than %d bytes together", t.Total), "name a sub-directory that has the certificates alone")
	}
	return nil
}

// unseen reports characters that serve only to deceive in a file name: control characters,
// marks of direction, characters without width.
func unseen(r rune) bool {
	return r == utf8.RuneError || !text.Visible(r)
}

func (t *tally) tooMany() error {
	return t.tooLarge(fmt.Sprintf("there are more than %d *.hcl files", t.Files), "name a sub-directory that has the certificates alone")
}

func (t *tally) tooLarge(detail, advice string) error {
	return &fault.Error{Kind: fault.TooLarge, Doing: t.doing, Detail: detail, Advice: advice}
}

// wanted reports whether to enter a directory, or to read a file. Hidden names are not
// wanted: .git, .github, editors' backups, .terraform.lock.hcl.
func wanted(name string, isDir bool) bool {
	return !strings.HasPrefix(name, ".") && (isDir || strings.HasSuffix(name, ".hcl"))
}

// blobRef is a file in a tree.
type blobRef struct {
	path string // relative to the directory
	hash plumbing.Hash
}

// mostVisited bounds the directories that one revision visits. A few objects can form a
// tree of any number of paths, if each directory contains the next one many times.
const mostVisited = 200_000

// listFiles returns the wanted files below a directory of a commit, sorted by path. More
// than most files are an error. It skips symbolic links and submodules, and records them in
// passed.
func listFiles(from *objects.DB, c *object.Commit, directory, doing string, most int, passed *unread) ([]blobRef, error) {
	root, err := objects.Subtree(from, c.TreeHash, directory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if root.IsZero() {
		return nil, fault.BadSetting(doing, fmt.Sprintf("commit %s has no directory %q", short(c.Hash), directory), "check the directory's name and the ref")
	}
	var list []blobRef
	visited := 0
	empty := map[plumbing.Hash]bool{} // directories without files, to visit each only once
	count := &tally{Limits: Limits{Files: most}, doing: doing}
	var walk func(tree plumbing.Hash, below string, depth int) error
	walk = func(tree plumbing.Hash, below string, depth int) error {
		if depth > packfile.MaxDepth {
			return &fault.Error{Kind: fault.TooLarge, Doing: doing, Detail: fmt.Sprintf("directories nest deeper than %d at %s", packfile.MaxDepth, below)}
		}
		if empty[tree] {
			return nil
		}
		before := len(list)
		if visited++; visited > mostVisited {
			return count.tooLarge(fmt.Sprintf("there are more than %d directories, at %s", mostVisited, below), "name a sub-directory that has the certificates alone")
		}
		entries, err := from.Entries(tree)
		if err != nil {
			return fmt.Errorf("%s: %w", path.Join(directory, below), err)
		}
		for _, e := range entries {
			isDir := e.Mode == filemode.Dir
			if !wanted(e.Name, isDir) || !objects.PlainName(e.Name) {
				passed.entry(from, root, path.Join(below, e.Name), e)
				continue
			}
			switch p := path.Join(below, e.Name); {
			case isDir:
				if err := walk(e.Hash, p, depth+1); err != nil {
					return err
				}
			case e.Mode.IsRegular() || e.Mode == filemode.Executable:
				if len(list) == most {
					return count.tooMany()
				}
				list = append(list, blobRef{path: p, hash: e.Hash})
			default:
				passed.entry(from, root, p, e)
			}
		}
		if len(list) == before {
			empty[tree] = true
		}
		return nil
	}
	if err := walk(root, "", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b blobRef) int { return strings.Compare(a.path, b.path) })
	return list, nil
}

// readRevision reads all wanted files of a commit.
func readRevision(from *objects.DB, commit plumbing.Hash, directory, doing string, limits Limits) (*Revision, error) {
	c, err := from.Commit(commit)
	if err != nil {
		return nil, err
	}
	var passed unread
	list, err := listFiles(from, c, directory, doing, limits.Files, &passed)
	if err != nil {
		return nil, err
	}
	rev := describe(c)
	rev.Directory, rev.Unread = directory, passed
	count := &tally{Limits: limits, doing: doing}
	for _, ref := range list {
		// Check the size before the content is in memory.
		size, err := from.Size(ref.hash)
		if errors.Is(err, plumbing.ErrObjectNotFound) && from.StaysPacked() {
			err = count.tooLarge(fmt.Sprintf("%s is stored as a difference to a file that is too large to be read", path.Join(directory, ref.path)), "store it anew (git repack -a -d -F at the remote)")
		}
		if err == nil {
			err = count.add(path.Join(directory, ref.path), size)
		}
		if err != nil {
			return nil, err
		}
		data, err := from.Read(plumbing.BlobObject, ref.hash, limits.FileSize)
		if err != nil {
			return nil, err
		}
		if err := checkPointer(doing, path.Join(directory, ref.path), data); err != nil {
			return nil, err
		}
		rev.Files = append(rev.Files, File{Path: ref.path, Bytes: data})
	}
	return rev, nil
}

// describe returns a Revision without files.
func describe(c *object.Commit) *Revision {
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	return &Revision{
		Commit:  c.Hash.String(),
		Author:  text.Line(fmt.Sprintf("%s <%s>", c.Author.Name, c.Author.Email)),
		Time:    c.Committer.When,
		Subject: text.Line(subject),
	}
}

func short(h plumbing.Hash) string { return h.String()[:12] }

// cleanDirectory normalizes a directory: "certs", "/certs/" and "./certs" are the same.
func cleanDirectory(d string) (string, error) {
	clean := strings.Trim(strings.TrimPrefix(d, "./"), "/")
	if clean == "." {
		clean = ""
	}
	if clean != "" && !objects.Writable(clean) {
		return "", fault.BadSetting("reading the directory's name", fmt.Sprintf("%q is no directory inside a repository", d), `write it like "certs/prod"`)
	}
	return clean, nil
}

// localBounds returns the bounds for a repository on this machine.
func localBounds() packfile.Bounds { return Limits{}.withDefaults().bounds() }
