//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly

package filelock

import (
	"errors"
	"fmt"
	"runtime"
)

// Lock does not exist here: there is no flock(2).
type Lock struct{}

// Take fails here.
func Take(path string) (*Lock, error) {
	return nil, fmt.Errorf("locking %s: %w on %s", path, errors.ErrUnsupported, runtime.GOOS)
}

// Release is never called.
func (*Lock) Release() error { return nil }
