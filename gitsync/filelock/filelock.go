package filelock

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
