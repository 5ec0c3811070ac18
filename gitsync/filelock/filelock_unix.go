//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"certroll/spec/text"
)

// Lock is an exclusive flock(2), which ends with the process whatever
// becomes of it.
type Lock struct{ f *os.File }

// Take takes the lock or says at once who has it.
func Take(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		by, _ := io.ReadAll(io.LimitReader(f, 200))
		_ = f.Close()
		return nil, &HeldError{path: path, by: text.Line(string(by))}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	_ = sign(f) // a full disk keeps nobody from the lock
	return &Lock{f: f}, nil
}

// sign writes who we are, for the one who finds the lock taken.
func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	host, _ := os.Hostname()
	_, err := f.WriteAt(fmt.Appendf(nil, "process %d on %s\n", os.Getpid(), host), 0)
	return err
}

// Release gives the lock back. Closing the file alone would not: a program that
// another goroutine is just starting has a copy of the descriptor until its exec,
// and the lock goes with the last copy. The file stays: removing it would let two
// processes lock two files of one name.
func (l *Lock) Release() error {
	return errors.Join(syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN), l.f.Close())
}
