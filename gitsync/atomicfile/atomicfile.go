// Package atomicfile replaces files as a whole and durably. Every file of
// certroll's own state is written by it, and so is every file of a user's that
// certroll edits in place.
//
// A rename alone is not enough: it is durable before the data is on many file
// systems, so that a loss of power leaves an empty file under the final name.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Write replaces the file at path with data, so that after a crash or a loss of
// power either the old content or the new is there, whole. When Write returns nil
// the new content is on the disk. After an error the old content stands.
func Write(path string, data []byte, mode fs.FileMode) (err error) {
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
	if err == nil && mode != 0o600 { // which it has; some file systems know no modes
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Sweep removes what a crash within Write left beside path. Only the process that
// alone writes path may call it.
func Sweep(path string) {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"-*"))
	for _, f := range append(left, path+".tmp") { // earlier versions wrote path.tmp
		_ = os.Remove(f)
	}
}

// SetAside renames a file that cannot be read to path.bad, where a person can look
// at it, and returns the new name. The file of an earlier call is replaced.
func SetAside(path string) (string, error) {
	bad := path + ".bad"
	if err := os.RemoveAll(bad); err != nil {
		return "", fmt.Errorf("setting %s aside: %w", path, err)
	}
	if err := os.Rename(path, bad); err != nil {
		return "", fmt.Errorf("setting %s aside: %w", path, err)
	}
	return bad, nil
}

// SyncDir makes created, renamed and removed names of a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // the file system cannot sync a directory
	}
	return errors.Join(err, d.Close())
}
