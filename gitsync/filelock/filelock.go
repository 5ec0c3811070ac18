package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/gofrs/flock"

	"certroll/spec/text"
)

// HeldError says that another process has a lock.
type HeldError struct {
	path string
	by   string // what the holder wrote into the file; may be empty
}

func (e *HeldError) Error() string { return e.path + " " + e.Holder() }

// Holder says who has it.
func (e *HeldError) Holder() string {
	by := "another process"
	if e.by != "" {
		by = e.by
	}
	return "is held by " + by
}

// Lock is an exclusive flock(2). The system ends it with the process.
type Lock struct{ file *flock.Flock }

// Take takes the lock or says at once who has it. It fails with errors.ErrUnsupported on
// systems without flock(2): their locks belong to a process, which would lose this one as
// soon as it closed the file that it writes its name into.
func Take(path string) (*Lock, error) {
	switch runtime.GOOS {
	case "linux", "darwin", "freebsd", "netbsd", "openbsd", "dragonfly":
	default:
		return nil, fmt.Errorf("locking %s: %w on %s", path, errors.ErrUnsupported, runtime.GOOS)
	}
	// NFS locks only files that are open for writing.
	file := flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE), flock.SetPermissions(0o600))
	taken, err := file.TryLock()
	if err != nil {
		return nil, err
	}
	if !taken {
		return nil, &HeldError{path: path, by: holder(path)}
	}
	_ = sign(path) // a full disk keeps nobody from the lock
	return &Lock{file}, nil
}

// mostHolder bounds what a holder writes, in bytes.
const mostHolder = 200

func holder(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	by, _ := io.ReadAll(io.LimitReader(f, mostHolder))
	_ = f.Close()
	return text.Line(string(by))
}

// sign writes who we are, for the process that finds the lock taken.
func sign(path string) error {
	host, _ := os.Hostname()
	return os.WriteFile(path, fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0o600)
}

// Release gives the lock back. It unlocks before it closes the file: a program that
// another goroutine is just starting has a copy of the descriptor until its exec, and
// closing alone releases the lock only with the last copy. The file stays: removing it
// would let two processes lock two files of one name.
func (l *Lock) Release() error { return l.file.Unlock() }
