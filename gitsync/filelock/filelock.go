package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/gofrs/flock"

	"certroll/spec/text"
)

// HeldError is the error of Take when another process holds the lock.
type HeldError struct {
	path string
	by   string // the holder's own text from the file; may be empty
}

func (e *HeldError) Error() string { return e.path + " " + e.Holder() }

// Holder returns "is held by" and the holder, such as "is held by process 12 on host1".
func (e *HeldError) Holder() string {
	by := "another process"
	if e.by != "" {
		by = e.by
	}
	return "is held by " + by
}

// Lock is an exclusive flock(2). The kernel releases it when the process ends, so a crash
// leaves no stale lock.
type Lock struct{ file *flock.Flock }

// Take takes the lock, or returns a HeldError at once. It returns errors.ErrUnsupported on
// systems without flock(2). POSIX record locks belong to a process, which loses them when
// it closes any descriptor of the file. Take would lose such a lock after it wrote the
// holder's name.
func Take(path string) (*Lock, error) {
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd", "netbsd", "openbsd", "dragonfly":
	default:
		return nil, fmt.Errorf("locking %s: %w on %s", path, errors.ErrUnsupported, runtime.GOOS)
	}
	// NFS maps flock(2) to a record lock, which needs a file that is open for writing.
	file := flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o600))
	taken, err := file.TryLock()
	if err != nil {
		return nil, err
	}
	if !taken {
		return nil, &HeldError{path: path, by: holder(path)}
	}
	_ = sign(path) // the holder's name is only a hint: a full disk must not prevent locking
	return &Lock{file}, nil
}

// TakeAbandoned takes a lock whose holder was a process on this host and has ended. It makes no
// file. A lock that another host signed stays with it: some network file systems do not pass
// flock(2) on, and such a lock looks free.
func TakeAbandoned(path string) (*Lock, bool) {
	host, err := os.Hostname()
	if err != nil || !strings.HasPrefix(holder(path), "process ") || !strings.HasSuffix(holder(path), " on "+text.Line(host)) {
		return nil, false
	}
	file := flock.New(path, flock.SetFlag(os.O_RDWR))
	if taken, err := file.TryLock(); err != nil || !taken {
		return nil, false
	}
	return &Lock{file}, true
}

// mostHolder bounds the holder's text, in bytes. Another program may have written the file.
const mostHolder = 200

// holder returns the holder's text as one printable line; "" if it cannot be read.
func holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	by, _ := io.ReadAll(io.LimitReader(f, mostHolder))
	_ = f.Close()
	return text.Line(string(by))
}

// sign writes this process and host into the file, for the process that finds the lock
// taken.
func sign(path string) error {
	host, _ := os.Hostname()
	return os.WriteFile(path, fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0o600)
}

// Release unlocks the file, then closes it. Closing alone is not enough: a child process
// that another goroutine is starting has a copy of the descriptor until its exec, and
// flock(2) lasts until the last copy is closed. The file stays: if Release removed it, two
// processes could lock two files of the same name.
func (l *Lock) Release() error { return l.file.Unlock() }
