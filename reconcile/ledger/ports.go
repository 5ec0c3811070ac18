package ledger

import (
	"context"
	"io/fs"
)

// Ledger is the status branch.
type Ledger interface {
	// Snapshot is the newest tree, and the branch's head; "" where there is no branch.
	Snapshot(ctx context.Context) (tree fs.FS, head string, err error)
	// Commit runs edit on the newest tree, again after each lost race,
	// and pushes what it returns; nothing changed is no commit and "".
	Commit(ctx context.Context, message string, edit func(fs.FS) (map[string][]byte, error)) (commit string, err error)
}

// Journal is a durable queue on the local disk.
type Journal interface {
	// Append returns once the entry is on the disk.
	Append(entry []byte) error
	// Entries are all that were not acknowledged, the oldest first.
	Entries() ([][]byte, error)
	// Ack forgets the first n entries.
	Ack(n int) error
}
