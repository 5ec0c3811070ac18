package gitsync

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
)

// Unread is an entry of a revision that certroll does not read, although a user may expect
// it to.
type Unread struct {
	Path string // relative to the directory, with slashes
	Why  string // continues a sentence that begins with the path
}

// mostUnread bounds the recorded entries. It is below the bound on files, so hostile
// repositories cost little memory.
const mostUnread = 20_000

const (
	whyLink      = "is a symbolic link, which is not followed: put the file itself there"
	whyName      = "is not read, since its name has a backslash: rename it"
	whySubmodule = "is a submodule, which is not read: put its files into this repository"
)

// otherName returns why certroll does not read a file whose name suggests certificates; ""
// for any other file.
func otherName(name string) string {
	lower := strings.ToLower(name)
	switch {
	case strings.HasPrefix(name, "."), strings.HasSuffix(name, ".hcl"):
		return ""
	case strings.HasSuffix(lower, ".hcl"):
		return "is not read, since its name does not end in .hcl: upper and lower case differ"
	case strings.HasSuffix(lower, ".hcl.json"):
		return "is not read: certroll reads HCL's own syntax alone, in files whose names end in .hcl"
	case strings.HasSuffix(lower, ".tf"):
		return "is not read: it is Terraform's; certroll reads files whose names end in .hcl"
	}
	return ""
}

// lfsPointer reports whether a file is a Git LFS pointer, whose content is not in Git:
// https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md#the-pointer.
func lfsPointer(data []byte) bool {
	return bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/")) || bytes.HasPrefix(data, []byte("version https://hawser.github.com/spec/"))
}

// checkPointer returns an error for a Git LFS pointer. Read as HCL it would give a parse
// error that hides the cause.
func checkPointer(doing, file string, data []byte) error {
	if !lfsPointer(data) {
		return nil
	}
	return fault.BadSetting(doing, file+" is a Git LFS pointer: its content is not in Git",
		"keep *.hcl files out of LFS (git lfs untrack '*.hcl', see .gitattributes) and commit the file itself")
}

// unread collects Unread entries.
type unread []Unread

// add records an entry; an empty why means that certroll leaves it out as expected.
func (u *unread) add(p, why string) {
	if why != "" && len(*u) < mostUnread {
		*u = append(*u, Unread{p, why})
	}
}

// entry records an entry of a Git tree that is neither a directory nor a wanted file, if a
// user may expect it to be read.
func (u *unread) entry(from *objects.DB, root plumbing.Hash, p string, e object.TreeEntry) {
	if strings.HasPrefix(e.Name, ".") || !objects.PlainName(e.Name) {
		if strings.Contains(e.Name, `\`) && wanted(e.Name, e.Mode == filemode.Dir) && path.Base(e.Name) == e.Name {
			u.add(p, whyName)
		}
		return
	}
	switch e.Mode {
	case filemode.Submodule:
		u.add(p, whySubmodule)
	case filemode.Symlink:
		if strings.HasSuffix(e.Name, ".hcl") || leadsToDir(from, root, p, e.Hash) {
			u.add(p, whyLink)
		}
	default:
		u.add(p, otherName(e.Name))
	}
}

// leadsToDir reports whether a symbolic link leads to a directory of the same tree.
func leadsToDir(from *objects.DB, root plumbing.Hash, p string, link plumbing.Hash) bool {
	target, err := from.Read(plumbing.BlobObject, link, 4096) // PATH_MAX of Linux
	// An absolute link leads out of the tree.
	if err != nil || path.IsAbs(string(target)) {
		return false
	}
	to := path.Join(path.Dir(p), string(target))
	if to == "." || strings.HasPrefix(to, "../") || to == ".." {
		return to == "."
	}
	tree, err := objects.Subtree(from, root, to)
	return err == nil && !tree.IsZero()
}

// file is entry for a directory on the disk.
func (u *unread) file(fsys fs.FS, p string, e fs.DirEntry) {
	switch {
	case strings.HasPrefix(e.Name(), "."):
	case e.Type()&fs.ModeSymlink != 0:
		info, err := fs.Stat(fsys, p)
		if strings.HasSuffix(e.Name(), ".hcl") || err == nil && info.IsDir() {
			u.add(p, whyLink)
		}
	case !e.IsDir():
		u.add(p, otherName(e.Name()))
	}
}

// isSubmodule reports whether a directory of a work tree is a repository of its own. Git
// tracks no files below it.
func isSubmodule(fsys fs.FS, p string) bool {
	_, err := fs.Stat(fsys, path.Join(p, ".git"))
	return err == nil
}

// gitUnread returns the Unread entry for a work tree whose Git data cannot be read.
func gitUnread(err error) Unread {
	var ours *fault.Error
	if errors.As(err, &ours) {
		err = errors.New(ours.Detail)
	}
	return Unread{".git", fmt.Sprintf("cannot be read, so that commit and author are not known: %s", err)}
}
