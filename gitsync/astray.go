package gitsync

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
	"github.com/go-git/go-git/v5/plumbing/format/index"

	"certroll/gitsync/objects"
	"certroll/spec/bounded"
)

// Astray is a file of a work tree that was read, and that Git does not have: no
// checkout elsewhere has it.
type Astray struct {
	Path    string // relative to the directory, with slashes
	Ignored bool   // by .gitignore or .git/info/exclude; else it may only not be added yet
}

// maxIndex bounds the index of a work tree: of a million files.
const maxIndex = 256 << 20

// astray are those of a directory's files. It is none where the index cannot be
// read, as one that is split, and where Git ignores the directory itself: whoever
// names such a one wants what is generated there.
func astray(repo *git.Repository, dot, below string, files []File) []Astray {
	tracked, ok := trackedFiles(dot)
	if !ok {
		return nil
	}
	var list []Astray
	var rules *ignoreRules
	for _, f := range files {
		name := path.Join(below, f.Path)
		if tracked[name] {
			continue
		}
		if rules == nil {
			tree, err := repo.Worktree()
			if err != nil {
				return nil
			}
			common, err := objects.CommonDir(dot)
			if err != nil {
				return nil
			}
			rules = &ignoreRules{root: tree.Filesystem.Root(), common: common, patterns: map[string][]gitignore.Pattern{}}
			if below != "" && rules.ignores(below, true) {
				return nil
			}
		}
		list = append(list, Astray{f.Path, rules.ignores(name, false)})
	}
	return list
}

// trackedFiles are those of the index (gitformat-index(5)); false where it cannot be
// read.
func trackedFiles(dot string) (map[string]bool, bool) {
	f, err := os.Open(filepath.Join(dot, "index"))
	if err != nil {
		return nil, os.IsNotExist(err) // as after git clone --no-checkout
	}
	defer func() { _ = f.Close() }()
	var idx index.Index
	if err := index.NewDecoder(bounded.Reader(f, maxIndex)).Decode(&idx); err != nil {
		return nil, false
	}
	tracked := make(map[string]bool, len(idx.Entries))
	for _, e := range idx.Entries {
		tracked[e.Name] = true
	}
	return tracked, true
}

// ignoreRules are the patterns that say what Git ignores (gitignore(5)), but for
// those of the user's own configuration, which are not the repository's.
type ignoreRules struct {
	root     string // of the work tree
	common   string // Git's data
	patterns map[string][]gitignore.Pattern
}

// ignores tells whether Git ignores a path below the root.
func (r *ignoreRules) ignores(name string, isDir bool) bool {
	return gitignore.NewMatcher(r.of(path.Dir(name))).Match(strings.Split(name, "/"), isDir)
}

// of are the patterns for what is in a directory, those with less priority first.
func (r *ignoreRules) of(dir string) []gitignore.Pattern {
	if known, ok := r.patterns[dir]; ok {
		return known
	}
	var list []gitignore.Pattern
	var domain []string
	if dir == "." {
		list = ignorePatterns(filepath.Join(r.common, "info", "exclude"), nil)
	} else {
		list = append(list, r.of(path.Dir(dir))...)
		domain = strings.Split(dir, "/")
	}
	list = append(list, ignorePatterns(filepath.Join(r.root, filepath.FromSlash(dir), ".gitignore"), domain)...)
	r.patterns[dir] = list
	return list
}

// ignorePatterns are those of one file; none where it cannot be read.
func ignorePatterns(file string, domain []string) (list []gitignore.Pattern) {
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return nil // Git follows no link there either
	}
	b, err := bounded.NamedFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			list = append(list, gitignore.ParsePattern(line, domain))
		}
	}
	return list
}

// InGit is the revision without the files that Git ignores: as a checkout elsewhere
// has it. They are in Unread then.
func (r *Revision) InGit() *Revision {
	ignored := map[string]bool{}
	kept := *r
	kept.Astray, kept.Files = nil, nil
	for _, a := range r.Astray {
		if a.Ignored {
			ignored[a.Path] = true
		} else {
			kept.Astray = append(kept.Astray, a)
		}
	}
	for _, f := range r.Files {
		if ignored[f.Path] {
			kept.Unread = append(kept.Unread[:len(kept.Unread):len(kept.Unread)], Unread{f.Path, "is ignored by Git, so that no commit has it, and is not part of the change"})
		} else {
			kept.Files = append(kept.Files, f)
		}
	}
	return &kept
}
