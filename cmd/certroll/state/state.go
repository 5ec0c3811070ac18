package state

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"certroll/gitsync/atomicfile"
	"certroll/spec/bounded"
)

// LastGoodFile is the file of the state directory that keeps the last good revision.
const LastGoodFile = "last-good.json"

// Read reads one of certroll's own files. A file that cannot be read or
// decoded is set aside with one warning and counts as absent (fs.ErrNotExist):
// all that these files hold is either in the ledger too or can be fetched again,
// and a damaged file must not stop renewals.
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
