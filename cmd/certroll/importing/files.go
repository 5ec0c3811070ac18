package importing

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// maxFile bounds the part of a foreign file that is read, in bytes; a chain of a hundred
// names is far smaller.
const maxFile = 1 << 20

// read reads a regular file of at most maxFile bytes.
func read(dir fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(dir, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return content, err
}

// readIfThere is read, but a missing file counts as empty.
func readIfThere(dir fs.FS, name string) ([]byte, error) {
	content, err := read(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// entries lists a directory; a missing one is empty.
func entries(dir fs.FS, name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// isDir follows links; the entries of a listing do not.
func isDir(dir fs.FS, name string) bool {
	info, err := fs.Stat(dir, name)
	return err == nil && info.IsDir()
}

func exists(dir fs.FS, name string) bool {
	_, err := fs.Stat(dir, name)
	return err == nil
}
