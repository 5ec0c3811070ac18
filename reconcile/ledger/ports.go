package ledger

import (
	"context"
	"io/fs"
)

// Ledger is the status branch in Git.
type Ledger interface {
	// Snapshot returns the newest tree and the branch's head; "" if there is no branch.
	Snapshot(ctx context.Context) (tree fs.FS, head string, err error)
	// Commit runs edit on the newest tree, again after each lost race, and pushes the
	// result. If edit changes nothing, Commit makes no commit and returns "".
	Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (commit string, err error)
}

// Journal is a durable queue on the local disk.
type Journal interface {
	// Append returns once the entry is on disk.
	Append(entry []byte) error
	// Entries returns all entries without an Ack, the oldest first.
	Entries() ([][]byte, error)
	// Ack removes the first n entries.
	Ack(n int) error
}
