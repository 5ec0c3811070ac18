package gitsync

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

// ReadDir reads a plain directory's *.hcl files, on a laptop or in a checkout
// of CI, under the rules and default limits of a Source. Where the directory
// is in a Git work tree, Commit is that of HEAD, with "-dirty" where the files
// read are not the ones committed; it is "" elsewhere, and where Git's data
// cannot be read.
func ReadDir(dir string) (*Revision, error) {
	doing := "reading the directory " + dir
	if root, to := leadsOut(dir); root != "" {
		return nil, invalid(doing, fmt.Sprintf("it leads out of the work tree %s by a symbolic link, to %s", root, to), "name the directory itself")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &Error{Kind: Invalid, Doing: doing, Detail: reason(err), Advice: "check the path", Err: err}
	}
	defer func() { _ = root.Close() }()
	files, err := readFiles(root.FS(), &tally{Limits: Limits{}.withDefaults(), doing: doing})
	if err != nil {
		var ours *Error
		if errors.As(err, &ours) {
			return nil, ours
		}
		return nil, &Error{Kind: Failed, Doing: doing, Detail: err.Error(), Err: err}
	}
	rev := workTree(dir, files)
	rev.Files = files
	return rev, nil
}

// leadsOut finds a work tree that a directory leads out of by a symbolic link:
// what a change brings along must not have other files read, and shown.
func leadsOut(dir string) (root, to string) {
	if !filepath.IsAbs(dir) {
		here, err := os.Getwd()
		if err == nil {
			here, err = filepath.EvalSymlinks(here)
		}
		if err != nil {
			return "", "" // opening it fails too
		}
		dir = filepath.Join(here, dir)
	}
	to, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", ""
	}
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

// readFiles walks without following symbolic links.
func readFiles(fsys fs.FS, count *tally) ([]File, error) {
	var files []File
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
			return nil
		case e.IsDir():
			if strings.Count(path, "/") >= maxDepth {
				return count.tooLarge("directories nest too deep at "+path, "")
			}
			return nil
		case !e.Type().IsRegular():
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
			err = count.add(path, int64(len(data))) // it grew meanwhile
		}
		files = append(files, File{Path: path, Bytes: data})
		return err
	})
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}

// workTree describes HEAD where dir is in a work tree, else nothing.
func workTree(dir string, files []File) *Revision {
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil {
		return &Revision{}
	}
	head, err := repo.Head()
	if err != nil {
		return &Revision{}
	}
	objs := &objects{db: repo.Storer}
	c, err := objs.commit(head.Hash())
	if err != nil {
		return &Revision{}
	}
	rev := describe(c)
	rev.Directory, _ = belowRoot(repo, dir)
	if differs(objs, repo, c.Hash, dir, files) {
		rev.Commit += "-dirty"
	}
	return rev
}

// differs compares by content what was read with what is committed. It counts
// as different where it cannot tell.
func differs(objs *objects, repo *git.Repository, commit plumbing.Hash, dir string, files []File) bool {
	below, err := belowRoot(repo, dir)
	if err != nil {
		return true
	}
	c, err := objs.commit(commit)
	if err != nil {
		return true
	}
	committed, err := listFiles(objs, c, below, "comparing with HEAD")
	if err != nil {
		return len(files) > 0
	}
	read := make([]blobRef, len(files))
	for i, f := range files {
		read[i] = blobRef{path: f.Path, hash: plumbing.ComputeHash(plumbing.BlobObject, f.Bytes)}
	}
	return !slices.Equal(read, committed)
}

// relative is dir below root, with slashes; "" for root itself.
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
