package gitsync

import (
	"time"

	"certroll/spec/bounded"
)

// pipeTimeout is how long a file may take that is a pipe.
const pipeTimeout = 5 * time.Second

// readFile reads a file that our own settings name. It is read in the midst of
// an operation, which may be whatever the file is: a pipe that nobody writes to
// is empty, one that stays open is given up, and a device has an end.
func readFile(path string) ([]byte, error) {
	return bounded.FileWithin(path, bounded.Named, pipeTimeout)
}
