package gitsync

import "fmt"

// heldError says that another process has a lock.
type heldError struct {
	path string
	by   string // what the holder wrote into the file; may be empty
}

func (e *heldError) Error() string {
	by := "another process"
	if e.by != "" {
		by = e.by
	}
	return fmt.Sprintf("%s is held by %s", e.path, by)
}
