package archive

import (
	"fmt"
	"io/fs"

	"certroll/reconcile/ledger"
)

// ReadProblems reads the open problems of a ledger's tree; none if the file is unreadable,
// see Unreadable.
func ReadProblems(tree fs.FS) (*ledger.Problems, error) {
	p, _, err := LoadProblems(tree)
	return p, err
}

// EditProblems returns the new content of ProblemsFile after the entries, nil if they
// change nothing, and the problems that are then open.
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
