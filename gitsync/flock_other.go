//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly

package gitsync

import (
	"errors"
	"fmt"
	"runtime"
)

// fileLock does not exist here: there is no flock(2).
type fileLock struct{}

func lockFile(path string) (*fileLock, error) {
	return nil, fmt.Errorf("locking %s: %w on %s", path, errors.ErrUnsupported, runtime.GOOS)
}

func (*fileLock) release() error { return nil }
