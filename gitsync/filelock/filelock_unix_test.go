//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package filelock

import (
	"path/filepath"
	"syscall"
	"testing"

	"certroll/gitsync/gitsynctest"
)

// A child that was forked and has not called exec yet has every descriptor of its
// parent, and a lock lasts as long as one of them.
func TestLockIsGivenBackBesideAChild(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Take(path)
	gitsynctest.Must(t, err)
	child, err := syscall.Dup(int(l.f.Fd()))
	gitsynctest.Must(t, err)
	t.Cleanup(func() { gitsynctest.Must(t, syscall.Close(child)) })
	gitsynctest.Must(t, l.Release())
	again, err := Take(path)
	if err != nil {
		t.Fatalf("the lock was given back, and is held: %v", err)
	}
	gitsynctest.Must(t, again.Release())
}
