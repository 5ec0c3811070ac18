//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package filelock

import (
	"path/filepath"
	"syscall"
	"testing"

	"certroll/gitsync/gitsynctest"
)

// TestLockIsGivenBackBesideAChild: a forked child that has not called exec yet has every descriptor of its parent, and
// a lock lasts until the last descriptor is closed. Release must free the lock anyway.
func TestLockIsGivenBackBesideAChild(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Take(path)
	gitsynctest.Must(t, err)
	child, err := syscall.Dup(descriptorOf(t, path))
	gitsynctest.Must(t, err)
	t.Cleanup(func() { gitsynctest.Must(t, syscall.Close(child)) })
	gitsynctest.Must(t, l.Release())
	again, err := Take(path)
	if err != nil {
		t.Fatalf("the lock was given back, and is held: %v", err)
	}
	gitsynctest.Must(t, again.Release())
}

// descriptorOf returns this process's descriptor of a file.
func descriptorOf(t *testing.T, path string) int {
	t.Helper()
	var want, got syscall.Stat_t
	gitsynctest.Must(t, syscall.Stat(path, &want))
	for fd := range 1000 {
		if syscall.Fstat(fd, &got) == nil && got.Dev == want.Dev && got.Ino == want.Ino {
			return fd
		}
	}
	t.Fatalf("no descriptor of %s is open", path)
	return -1
}
