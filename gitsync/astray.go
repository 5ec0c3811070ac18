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

// Astray is a file in a work tree that ReadDir read and Git does not have. No other
// checkout has it.
type Astray struct {
	Path    string // relative to the directory, with slashes
	Ignored bool   // by .gitignore or .git/info/exclude; if false, it may only need git add
}

// maxIndex bounds the index of a work tree, in bytes. It is enough for a million files.
const maxIndex = 256 << 20

// astray returns the files of a directory that Git does not have. It returns none if it
// cannot read the index, such as a split one. It also returns none if Git ignores the
// directory itself: a user who names such a directory wants the generated files in it.
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
		// Read the patterns only if needed: most work trees have no such file.
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

// trackedFiles returns the files in the index (gitformat-index(5)); false if it cannot read
// the index.
func trackedFiles(dot string) (map[string]bool, bool) {
	f, err := os.Open(filepath.Join(dot, "index"))
	if err != nil {
		return nil, os.IsNotExist(err) // there is no index, as after git clone --no-checkout
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

// ignoreRules are the repository's patterns for ignored files (gitignore(5)). The user's
// own patterns (core.excludesFile) do not count: another user's checkout does not have
// them.
type ignoreRules struct {
	root     string // of the work tree
	common   string // the directory with Git's data
	patterns map[string][]gitignore.Pattern
}

// ignores reports whether Git ignores a path below the root.
func (r *ignoreRules) ignores(name string, isDir bool) bool {
	return gitignore.NewMatcher(r.of(path.Dir(name))).Match(strings.Split(name, "/"), isDir)
}

// of returns the patterns for the entries of a directory, the lowest priority first.
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

// ignorePatterns returns the patterns of one file; none if it cannot read the file.
func ignorePatterns(file string, domain []string) (list []gitignore.Pattern) {
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return nil // git does not follow a symbolic link here either
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

// InGit returns the revision without the files that Git ignores, as another checkout has
// it. It lists them in Unread.
func (r *Revision) InGit() *Revision {
	ignored := map[string]bool{}
	known := *r
	known.Astray, known.Files = nil, nil
	for _, a := range r.Astray {
		if a.Ignored {
			ignored[a.Path] = true
		} else {
			known.Astray = append(known.Astray, a)
		}
	}
	for _, f := range r.Files {
		if ignored[f.Path] {
			// The three-index slice makes append copy: r and the result share the array.
			known.Unread = append(known.Unread[:len(known.Unread):len(known.Unread)], Unread{f.Path, "is ignored by Git, so that no commit has it, and is not part of the change"})
		} else {
			known.Files = append(known.Files, f)
		}
	}
	return &known
}
