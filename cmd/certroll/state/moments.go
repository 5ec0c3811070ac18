package state

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"certroll/gitsync/atomicfile"
)

// Moments stores the earliest times of repeated actions across restarts. It only spares
// the CAs: if the file is lost or unreadable, the waits start over.
type Moments struct {
	Path string
	Log  *slog.Logger
}

// Load reads the times; none if there is no readable file.
func (f Moments) Load() (map[string]time.Time, error) {
	var moments map[string]time.Time
	err := Read(f.Log, f.Path, func(b []byte) error { return json.Unmarshal(b, &moments) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return moments, err
}

// Save writes the times.
func (f Moments) Save(moments map[string]time.Time) error {
	b, err := json.Marshal(moments)
	if err != nil {
		return err
	}
	return atomicfile.Write(f.Path, b, 0o600)
}
