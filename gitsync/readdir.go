package gitsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
)

// ReadDir reads the *.hcl files of a plain directory, on a laptop or in a CI checkout,
// under the rules and default limits of a Source. In a Git work tree, Commit is HEAD's
// hash, with "-dirty" appended if the files differ from the committed ones. Commit is ""
// outside a work tree and if Git's data cannot be read.
func ReadDir(dir string) (*Revision, error) {
	doing := "reading the directory " + dir
	if root, to := leadsOut(dir); root != "" {
		return nil, fault.BadSetting(doing, fmt.Sprintf("it leads out of the work tree %s by a symbolic link, to %s", root, to), "name the directory itself")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		advice := "check the path"
		if info, statErr := os.Stat(dir); statErr == nil && !info.IsDir() {
			advice = "name its directory; certroll validate - reads one file from standard input"
		}
		return nil, &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: fault.Reason(err), Advice: advice, Err: err}
	}
	defer func() { _ = root.Close() }()
	_, _, noGit := objects.FindGitDir(dir, true)
	var passed unread
	files, err := readFiles(root.FS(), root, &tally{Limits: Limits{}.withDefaults(), doing: doing}, &passed, noGit == nil)
	if err != nil {
		var ours *fault.Error
		if errors.As(err, &ours) {
			return nil, ours
		}
		return nil, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err}
	}
	rev := workTree(dir, files)
	rev.Files, rev.Unread = files, append(passed, rev.Unread...)
	return rev, nil
}

// leadsOut returns the work tree that dir leaves through a symbolic link, and the target. A
// pull request may add such a link, and CI must not read and print other files through it.
func leadsOut(dir string) (root, to string) {
	if !filepath.IsAbs(dir) {
		here, err := os.Getwd()
		if err == nil {
			here, err = filepath.EvalSymlinks(here)
		}
		if err != nil {
			return "", "" // opening the directory will fail too
		}
		dir = filepath.Join(here, dir)
	}
	to, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", ""
	}
	// Look for the work tree along the path as written, not along the resolved one.
	for at := filepath.Clean(dir); at != filepath.Dir(at); {
		at = filepath.Dir(at)
		if _, err := os.Lstat(filepath.Join(at, ".git")); err != nil {
			continue
		}
		if below, err := relative(at, to); err != nil || !filepath.IsLocal(filepath.FromSlash(below)) && below != "" {
			return at, to
		}
	}
	return "", ""
}

// readFiles reads the wanted files of a directory. It follows no symbolic links, and enters
// no other repository inside a work tree. root is the same directory on the disk; nil for a
// tree in Git.
func readFiles(fsys fs.FS, root *os.Root, count *tally, passed *unread, inGit bool) ([]File, error) {
	var files []File
	visited := 0
	err := fs.WalkDir(fsys, ".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == ".":
			return nil
		case !wanted(e.Name(), e.IsDir()):
			if e.IsDir() {
				return fs.SkipDir
			}
			passed.file(fsys, path, e)
			return nil
		case !objects.PlainName(e.Name()):
			passed.add(path, whyName)
			return skipped(e)
		case e.IsDir() && !utf8.ValidString(e.Name()): // fs.ValidPath requires UTF-8, so an fs.FS cannot open it
			return cmp.Or(count.hidden(root, path, 0), fs.SkipDir)
		case e.IsDir() && inGit && isSubmodule(fsys, path):
			passed.add(path, whySubmodule)
			return fs.SkipDir
		case e.IsDir():
			if visited++; visited > mostVisited {
				return count.tooLarge(fmt.Sprintf("there are more than %d directories, at %s", mostVisited, path), "name a sub-directory that has the certificates alone")
			}
			if strings.Count(path, "/") >= packfile.MaxDepth {
				return count.tooLarge("directories nest too deep at "+path, "")
			}
			return nil
		case !e.Type().IsRegular():
			passed.file(fsys, path, e)
			return nil
		}
		info, err := e.Info()
		if err == nil {
			err = count.add(path, info.Size())
		}
		if err != nil {
			return err
		}
		data, err := fs.ReadFile(fsys, path)
		if err == nil && int64(len(data)) > count.FileSize {
			err = count.add(path, int64(len(data))) // the file grew after Info
		}
		if err == nil {
			err = checkPointer(count.doing, path, data)
		}
		files = append(files, File{Path: path, Bytes: data})
		return err
	})
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}

// skipped skips one entry, for a directory with everything below it.
func skipped(e fs.DirEntry) error {
	if e.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// hidden returns an error if a directory with an invalid UTF-8 name has a wanted file,
// because a Source rejects such a revision. Otherwise readFiles skips the directory. For a
// tree in Git, root is nil and hidden does nothing: reading the revision has checked it.
func (t *tally) hidden(root *os.Root, dir string, depth int) error {
	if root == nil {
		return nil
	}
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	if depth >= packfile.MaxDepth {
		return t.tooLarge(fmt.Sprintf("directories nest too deep at %+q", dir), "")
	}
	for _, e := range entries {
		below := dir + "/" + e.Name()
		switch {
		case !wanted(e.Name(), e.IsDir()) || e.Type()&fs.ModeSymlink != 0:
		case e.IsDir():
			err = t.hidden(root, below, depth+1)
		default:
			err = t.add(below, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// workTree returns a Revision that describes HEAD; an empty one outside a work tree.
func workTree(dir string, files []File) *Revision {
	repo, objs, err := objects.OpenLocal(context.Background(), dir, true, localBounds())
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return &Revision{}
	}
	if err != nil {
		return &Revision{Unread: []Unread{gitUnread(err)}}
	}
	head, err := repo.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) { // no commits yet
		return &Revision{}
	}
	var c *object.Commit
	if err == nil {
		c, err = objs.Commit(head.Hash())
	}
	if err != nil {
		return &Revision{Unread: []Unread{gitUnread(err)}}
	}
	rev := describe(c)
	if rev.Directory, err = belowRoot(repo, dir); err == nil {
		if dot, _, err := objects.FindGitDir(dir, true); err == nil {
			rev.Astray = astray(repo, dot, rev.Directory, files)
		}
	}
	if differs(objs, repo, c.Hash, dir, files) {
		rev.Commit += "-dirty"
	}
	return rev
}

// differs reports whether the files differ in content from the committed ones. It returns
// true if it cannot compare them.
func differs(objs *objects.DB, repo *git.Repository, commit plumbing.Hash, dir string, files []File) bool {
	below, err := belowRoot(repo, dir)
	if err != nil {
		return true
	}
	c, err := objs.Commit(commit)
	if err != nil {
		return true
	}
	committed, err := listFiles(objs, c, below, "comparing with HEAD", Limits{}.withDefaults().Files, &unread{})
	if err != nil {
		return len(files) > 0
	}
	// Compare hashes: computing them is cheaper than reading the committed files.
	read := make([]blobRef, len(files))
	for i, f := range files {
		read[i] = blobRef{path: f.Path, hash: plumbing.ComputeHash(plumbing.BlobObject, f.Bytes)}
	}
	return !slices.Equal(read, committed)
}

// relative returns dir relative to root, with slashes; "" for root itself.
func relative(root, dir string) (string, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", err
	}
	rel, err := filepath.Rel(root, dir)
	if rel == "." {
		rel = ""
	}
	return filepath.ToSlash(rel), err
}
