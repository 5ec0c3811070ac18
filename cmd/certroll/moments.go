package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"certroll/gitsync/atomicfile"
)

// momentsFile keeps, over a restart, when something may be done again. It is
// no more than a courtesy to CAs: one that is lost or cannot be read is begun
// anew.
type momentsFile struct {
	path string
	log  *slog.Logger
}

func (f momentsFile) Load() (map[string]time.Time, error) {
	var moments map[string]time.Time
	err := stateFile(f.log, f.path, func(b []byte) error { return json.Unmarshal(b, &moments) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return moments, err
}

func (f momentsFile) Save(moments map[string]time.Time) error {
	b, err := json.Marshal(moments)
	if err != nil {
		return err
	}
	return atomicfile.Write(f.path, b, 0o600)
}
