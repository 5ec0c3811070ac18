package state

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"certroll/gitsync/atomicfile"
)

// Moments keeps, over a restart, when something may be done again. It is
// no more than a courtesy to CAs: one that is lost or cannot be read is begun
// anew.
type Moments struct {
	Path string
	Log  *slog.Logger
}

// Load reads the moments; none where there is no file that can be read.
func (f Moments) Load() (map[string]time.Time, error) {
	var moments map[string]time.Time
	err := Read(f.Log, f.Path, func(b []byte) error { return json.Unmarshal(b, &moments) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return moments, err
}

// Save writes the moments.
func (f Moments) Save(moments map[string]time.Time) error {
	b, err := json.Marshal(moments)
	if err != nil {
		return err
	}
	return atomicfile.Write(f.Path, b, 0o600)
}
