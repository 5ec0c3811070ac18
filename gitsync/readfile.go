package gitsync

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	// maxNamed bounds a file that our own settings name; keyrings are the largest.
	maxNamed = 16 << 20
	// pipeTimeout is how long one that is a pipe may take.
	pipeTimeout = 5 * time.Second
)

// readFile reads a file that our own settings name. It is read in the midst of
// an operation, which may be whatever the file is: a pipe that nobody writes to
// is empty, one that stays open is given up, and a device has an end.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	_ = f.SetReadDeadline(time.Now().Add(pipeTimeout)) // what knows none has an end
	b, err := io.ReadAll(io.LimitReader(f, maxNamed+1))
	if err == nil && len(b) > maxNamed {
		err = fmt.Errorf("it has more than %d bytes", maxNamed)
	}
	return b, err
}
