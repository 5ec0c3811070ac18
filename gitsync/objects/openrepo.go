package objects

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/cache"
	rawconfig "github.com/go-git/go-git/v5/plumbing/format/config"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"

	"certroll/spec/bounded"
)

// openRepository opens a repository on this machine; with detect it also searches the
// parents of dir, as git does. It reads only HEAD, refs and objects. go-git's own open
// checks the whole configuration against the branches, remotes and extensions that it
// knows, and rejects checkouts that git accepts. openRepository rejects only formats that
// certroll would misread.
func openRepository(dir string, detect bool) (*git.Repository, error) {
	dot, root, err := FindGitDir(dir, detect)
	if err != nil {
		return nil, err
	}
	common, err := CommonDir(dot)
	if err != nil {
		return nil, err
	}
	if err := readableFormat(common); err != nil {
		return nil, err
	}
	files := billy.Filesystem(withoutLocks{osfs.New(dot)})
	if common != dot {
		files = dotgit.NewRepositoryFilesystem(files, withoutLocks{osfs.New(common)})
	}
	store := filesystem.NewStorageWithOptions(files, cache.NewObjectLRUDefault(), filesystem.Options{AlternatesFS: osfs.New("/")})
	var tree billy.Filesystem
	if root != "" {
		tree = osfs.New(root)
	}
	return git.Open(unconfigured{store}, tree)
}

// CommonDir returns the directory that linked work trees share; dot itself if dot is not a
// linked work tree's (gitrepository-layout(5)).
func CommonDir(dot string) (string, error) {
	b, err := bounded.NamedFile(filepath.Join(dot, "commondir"))
	if errors.Is(err, fs.ErrNotExist) {
		return dot, nil
	}
	common := strings.TrimSpace(string(b))
	if err == nil && !filepath.IsAbs(common) {
		common = filepath.Join(dot, common)
	}
	return common, err
}

// withoutLocks hides git's lock files (NAME.lock). git creates an empty one beside a ref
// that it writes, and go-git takes it for a damaged ref.
type withoutLocks struct{ billy.Filesystem }

// ReadDir lists a directory without lock files.
func (f withoutLocks) ReadDir(path string) ([]os.FileInfo, error) {
	infos, err := f.Filesystem.ReadDir(path)
	return slices.DeleteFunc(infos, func(i os.FileInfo) bool { return strings.HasSuffix(i.Name(), ".lock") }), err
}

// unconfigured is a repository's storage without its configuration; see openRepository.
type unconfigured struct{ *filesystem.Storage }

// Config returns an empty configuration.
func (unconfigured) Config() (*config.Config, error) { return config.NewConfig(), nil }

// FindGitDir returns the directory with Git's data and the root of the work tree, which is
// "" for a bare repository. With detect it also searches the parents of dir.
func FindGitDir(dir string, detect bool) (dot, root string, err error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	for {
		dot = filepath.Join(at, git.GitDirName)
		info, err := os.Stat(dot)
		switch {
		case err == nil && info.IsDir():
			return dot, at, nil
		case err == nil:
			dot, err = gitFile(at)
			return dot, at, err
		case !errors.Is(err, fs.ErrNotExist):
			return "", "", err
		case !detect || at == filepath.Dir(at):
			if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil && !detect {
				abs, err := filepath.Abs(dir)
				return abs, "", err // a bare repository
			}
			return "", "", git.ErrRepositoryNotExists
		}
		at = filepath.Dir(at)
	}
}

// gitFile follows the file .git of a linked work tree or a submodule to the directory with
// Git's data (gitrepository-layout(5)).
func gitFile(root string) (string, error) {
	b, err := bounded.NamedFile(filepath.Join(root, git.GitDirName))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	to, ok := strings.CutPrefix(line, "gitdir: ")
	if !ok {
		return "", fmt.Errorf("the file %s has no gitdir: in its first line", filepath.Join(root, git.GitDirName))
	}
	if to = strings.TrimSpace(to); !filepath.IsAbs(to) {
		to = filepath.Join(root, to)
	}
	return to, nil
}

// readableFormat returns an error if the objects or refs are in a format that certroll
// cannot read. Without this check the user would get go-git's parse error.
func readableFormat(common string) error {
	b, err := bounded.NamedFile(filepath.Join(common, "config"))
	if err != nil {
		return nil //nolint:nilerr // a repository without a configuration has the default format
	}
	raw := rawconfig.New()
	if err := rawconfig.NewDecoder(strings.NewReader(string(b))).Decode(raw); err != nil {
		return nil //nolint:nilerr // git may accept a configuration that go-git cannot parse
	}
	extensions := raw.Section("extensions")
	if format := extensions.Option("objectformat"); format != "" && !strings.EqualFold(format, "sha1") {
		return errors.New(OtherNames(strings.ToUpper(format)))
	}
	if storage := extensions.Option("refstorage"); storage != "" && !strings.EqualFold(storage, "files") {
		return fmt.Errorf("its refs are stored as %s, which certroll does not read; convert it (git refs migrate --ref-format=files)", storage)
	}
	return nil
}

// OtherNames returns the error text for a repository whose object names are not SHA-1.
func OtherNames(format string) string {
	return "it is a repository with " + format + " object names, which certroll does not read: only SHA-1 repositories are supported"
}
