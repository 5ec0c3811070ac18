package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"time"
)

// momentsFile keeps, over a restart, when something may be done again. It is
// no more than a courtesy to CAs: one that is lost or cannot be read is begun
// anew.
type momentsFile string

func (f momentsFile) Load() (map[string]time.Time, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	moments := map[string]time.Time{}
	if err := json.Unmarshal(b, &moments); err != nil {
		clear(moments)
	}
	return moments, nil
}

func (f momentsFile) Save(moments map[string]time.Time) error {
	b, err := json.Marshal(moments)
	if err != nil {
		return err
	}
	return writeState(string(f), b)
}

// writeState writes a file of certroll's own state, so that a crash leaves the
// old one or the new one.
func writeState(path string, b []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
