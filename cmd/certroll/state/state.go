package state

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"certroll/gitsync/atomicfile"
	"certroll/spec/bounded"
)

// LastGoodFile is the file in the state directory with the last good revision.
const LastGoodFile = "last-good.json"

// Read reads one of certroll's own files. If a file cannot be read or decoded, Read sets
// it aside with one warning and returns fs.ErrNotExist: the contents are also in the
// ledger, or can be fetched again, and a damaged file must not stop renewals.
func Read(log *slog.Logger, path string, decode func([]byte) error) error {
	b, err := bounded.File(path, bounded.State)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		err = decode(b)
	}
	if err == nil {
		return nil
	}
	bad, asideErr := atomicfile.SetAside(path)
	if asideErr != nil {
		log.Warn("a state file is damaged; certroll ignores it", "file", path, "error", errors.Join(err, asideErr))
	} else {
		log.Warn("a state file is damaged and was set aside", "file", path, "set_aside_as", bad, "error", err)
	}
	return fmt.Errorf("reading %s: %w", path, fs.ErrNotExist)
}
