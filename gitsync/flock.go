package gitsync

// heldError says that another process has a lock.
type heldError struct {
	path string
	by   string // what the holder wrote into the file; may be empty
}

func (e *heldError) Error() string { return e.path + " " + e.holder() }

// holder says who has it.
func (e *heldError) holder() string {
	by := "another process"
	if e.by != "" {
		by = e.by
	}
	return "is held by " + by
}
