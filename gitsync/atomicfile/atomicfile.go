// Package atomicfile replaces whole files durably. certroll writes every file of its own
// state with it, and every file of a user that it edits in place.
//
// A rename alone is not enough. Many file systems make the rename durable before the data,
// so a power loss leaves an empty file under the final name.
package atomicfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Write replaces the file at path with data. After a crash or a power loss, path has either
// the whole old content or the whole new content. When Write returns nil, the new content
// is on the disk. After an error path has the old content, except when only the last step
// failed, syncing the directory: then path has the new content, which a power loss may
// undo.
//
// A symbolic link at path stays, and its target gets the data, even if that does not exist
// yet: a person has put the file elsewhere on purpose. If the directory of the target does not
// exist, the file replaces the link: state in the wrong place is better than none.
func Write(path string, data []byte, mode fs.FileMode) (err error) {
	if path, err = Target(path); err != nil {
		return err
	}
	// The temporary file is in the same directory: a rename cannot cross file systems.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err == nil && mode != 0o600 { // CreateTemp used 0o600 already, and some file systems reject chmod
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	// Only now: the data is on the disk.
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// mostLinks is the number of symbolic links that Linux follows in one path.
const mostLinks = 40

// Target returns the path of the file that path names: path itself, or the end of a chain of
// symbolic links. That file may be missing. If its directory is missing, Target returns the
// last link, which Write replaces. A chain without an end is an error.
func Target(path string) (string, error) {
	for at, n := path, 0; ; n++ {
		info, err := os.Lstat(at)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return at, nil //nolint:nilerr // the caller's own access to it has the better error
		}
		if n == mostLinks {
			return "", &fs.PathError{Op: "follow", Path: path, Err: syscall.ELOOP}
		}
		to, err := os.Readlink(at)
		if err != nil {
			return "", err
		}
		if dir, _ := filepath.Split(at); !filepath.IsAbs(to) {
			to = dir + to
		}
		// Not filepath.Clean: it would drop a directory before "..", which may be a link.
		dir, file := filepath.Split(to)
		if dir, err = filepath.EvalSymlinks(cmp.Or(dir, ".")); errors.Is(err, fs.ErrNotExist) {
			return at, nil
		} else if err != nil {
			return "", fmt.Errorf("following the symbolic link %s: %w", path, err)
		}
		at = filepath.Join(dir, file)
	}
}

// Sweep removes the temporary files that a crash in Write left beside path. Only the one
// process that writes path may call it: the temporary file of a running Write looks the
// same.
func Sweep(path string) {
	if target, err := Target(path); err == nil {
		path = target
	}
	dir, prefix := filepath.Dir(path), "."+filepath.Base(path)+"-"
	entries, _ := os.ReadDir(dir)
	for _, e := range entries { // no filepath.Glob: a * in dir would reach other directories
		if strings.HasPrefix(e.Name(), prefix) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.Remove(path + ".tmp") // earlier versions wrote path.tmp
}

// SetAside renames an unreadable file to path.bad, so that a person can inspect it, and
// returns the new name. A symbolic link at path stays, and its target is renamed. It replaces
// the file of an earlier call. RemoveAll, because a directory may stand at path.bad and a
// rename does not replace one.
func SetAside(path string) (string, error) {
	path, err := Target(path)
	if err != nil {
		return "", fmt.Errorf("setting aside: %w", err)
	}
	bad := path + ".bad"
	if err := os.RemoveAll(bad); err != nil {
		return "", fmt.Errorf("setting %s aside: %w", path, err)
	}
	if err := os.Rename(path, bad); err != nil {
		return "", fmt.Errorf("setting %s aside: %w", path, err)
	}
	return bad, nil
}

// SyncDir makes the names in dir durable: files that were created, renamed or removed.
// fsync(2) of a file does not cover its directory entry.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // this file system cannot sync directories; there is nothing better to do
	}
	return errors.Join(err, d.Close())
}
