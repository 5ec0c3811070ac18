package archive

import (
	"fmt"
	"io/fs"

	"certroll/reconcile/ledger"
)

// ReadProblems reads the open problems of a ledger's tree: none where the file
// cannot be read, see Unreadable.
func ReadProblems(tree fs.FS) (*ledger.Problems, error) {
	p, _, err := LoadProblems(tree)
	return p, err
}

// EditProblems is the edit that brings a tree's open problems to what the
// entries say last, and what they are then; nil where they say nothing new.
func EditProblems(tree fs.FS, entries []ledger.Entry) (text []byte, latest *ledger.Problems, err error) {
	now, err := ReadProblems(tree)
	if err != nil {
		return nil, nil, err
	}
	if latest = ledger.LatestProblems(now, entries); latest == now {
		return nil, now, nil
	}
	b, err := ledger.PlainJSON(latest, "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("encoding %s: %w", ledger.ProblemsFile, err)
	}
	return append(b, '\n'), latest, nil
}
