package lab

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
)

// workdir is the directory of one server.
type workdir struct {
	path string
	made bool // the lab created it and must remove it
}

// openDir uses the given directory, or creates a temporary one.
func openDir(given, name string) (workdir, error) {
	if given != "" {
		return workdir{path: given}, os.MkdirAll(given, 0o700)
	}
	path, err := os.MkdirTemp("", "certroll-lab-"+name+"-")
	if err != nil {
		return workdir{}, fmt.Errorf("making a directory for %s: %w", name, err)
	}
	return workdir{path: path, made: true}, nil
}

func (d workdir) remove() {
	if d.made {
		_ = os.RemoveAll(d.path)
	}
}

// random returns a throw-away secret.
func random(prefix string) string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand aborts the program instead
	return prefix + hex.EncodeToString(b)
}
