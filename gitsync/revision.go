package gitsync

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Revision is one commit of the config repo, as far as it is of interest.
type Revision struct {
	Commit  string    // full hash; see ReadDir for a plain directory
	Author  string    // "Name <mail>"
	Time    time.Time // when it was committed
	Subject string    // first line of the message
	Files   []File    // *.hcl files below the directory, by path
	// Directory is where the files lie in the repository; "" for its root, and
	// where nothing is known of one.
	Directory string
}

// File is one file of a revision.
type File struct {
	Path  string // relative to the directory, with slashes
	Bytes []byte
}

// Limits bound what one revision may hold. Zero fields take the defaults.
type Limits struct {
	FileSize int64 // bytes of one file; 1 MiB
	Files    int   // number of files; 50,000
	Total    int64 // bytes of all files; 256 MiB
	Pack     int64 // bytes of one fetch, whatever it holds; 1 GiB
}

// maxDepth bounds how deep directories may nest.
const maxDepth = 64

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
	return l
}

// tally holds a growing revision against the limits.
type tally struct {
	Limits
	doing string
	files int
	bytes int64
}

func (t *tally) add(file string, size int64) error {
	t.files++
	t.bytes += size
	switch {
	case strings.ContainsFunc(file, unseen):
		return invalid(t.doing, fmt.Sprintf("the name of the file %+q has a character that is not seen, or is no UTF-8", file), "rename it: names are shown to people, and to programs that read lines")
	case size > t.FileSize:
		return t.tooLarge(fmt.Sprintf("%s has %d bytes, and a file may have %d", file, size, t.FileSize),
			"split the file")
	case t.files > t.Files:
		return t.tooLarge(fmt.Sprintf("there are more than %d *.hcl files", t.Files), "name a sub-directory that has the certificates alone")
	case t.bytes > t.Total:
		return t.tooLarge(fmt.Sprintf("the *.hcl files have more than %d bytes together", t.Total), "name a sub-directory that has the certificates alone")
	}
	return nil
}

// unseen is a character that names of files have only to deceive: a control
// character, a mark of direction, one without a width.
func unseen(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError || r == 0x2028 || r == 0x2029
}

func (t *tally) tooLarge(detail, advice string) error {
	return &Error{Kind: TooLarge, Doing: t.doing, Detail: detail, Advice: advice}
}

// wanted reports whether a directory is looked into, or a file taken. Hidden
// ones are not: .git, .github, editors' backups, .terraform.lock.hcl.
func wanted(name string, isDir bool) bool {
	return !strings.HasPrefix(name, ".") && (isDir || strings.HasSuffix(name, ".hcl"))
}

// blobRef is a file that is in a tree.
type blobRef struct {
	path string // relative to the directory
	hash plumbing.Hash
}

// listFiles finds the wanted files below a directory of a commit, by path.
// Symbolic links and submodules are passed over.
func listFiles(from *objects, c *object.Commit, directory, doing string) ([]blobRef, error) {
	root, err := subtree(from, c.TreeHash, directory)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if root.IsZero() {
		return nil, invalid(doing, fmt.Sprintf("commit %s has no directory %q", short(c.Hash), directory), "check the directory's name and the ref")
	}
	var list []blobRef
	var walk func(tree plumbing.Hash, below string, depth int) error
	walk = func(tree plumbing.Hash, below string, depth int) error {
		if depth > maxDepth {
			return &Error{Kind: TooLarge, Doing: doing, Detail: fmt.Sprintf("directories nest deeper than %d at %s", maxDepth, below)}
		}
		entries, err := from.entries(tree)
		if err != nil {
			return err
		}
		for _, e := range entries {
			isDir := e.Mode == filemode.Dir
			if !wanted(e.Name, isDir) || !plainName(e.Name) {
				continue
			}
			switch p := path.Join(below, e.Name); {
			case isDir:
				if err := walk(e.Hash, p, depth+1); err != nil {
					return err
				}
			case e.Mode.IsRegular() || e.Mode == filemode.Executable:
				list = append(list, blobRef{path: p, hash: e.Hash})
			}
		}
		return nil
	}
	if err := walk(root, "", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b blobRef) int { return strings.Compare(a.path, b.path) })
	return list, nil
}

// subtree walks down to a directory; zero where there is none.
func subtree(from *objects, root plumbing.Hash, directory string) (plumbing.Hash, error) {
	if directory == "" {
		return root, nil
	}
	at := root
	for _, name := range strings.Split(directory, "/") {
		entries, err := from.entries(at)
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

// readRevision reads all wanted files of a commit.
func readRevision(from *objects, commit plumbing.Hash, directory, doing string, limits Limits) (*Revision, error) {
	c, err := from.commit(commit)
	if err != nil {
		return nil, err
	}
	list, err := listFiles(from, c, directory, doing)
	if err != nil {
		return nil, err
	}
	rev := describe(c)
	rev.Directory = directory
	count := &tally{Limits: limits, doing: doing}
	for _, ref := range list {
		size, err := from.size(ref.hash)
		if err == nil {
			err = count.add(path.Join(directory, ref.path), size)
		}
		if err != nil {
			return nil, err
		}
		data, err := from.read(plumbing.BlobObject, ref.hash)
		if err != nil {
			return nil, err
		}
		rev.Files = append(rev.Files, File{Path: ref.path, Bytes: data})
	}
	return rev, nil
}

// describe is a revision without its files.
func describe(c *object.Commit) *Revision {
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	return &Revision{
		Commit:  c.Hash.String(),
		Author:  printable(fmt.Sprintf("%s <%s>", c.Author.Name, c.Author.Email)),
		Time:    c.Committer.When,
		Subject: strings.TrimSpace(printable(subject)),
	}
}

func short(h plumbing.Hash) string { return h.String()[:12] }
