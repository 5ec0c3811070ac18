package lab

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
)

// workdir is where one server writes.
type workdir struct {
	path string
	made bool // by us, so ours to remove
}

// openDir takes the directory it is given, or makes one.
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

// random is a throw-away secret.
func random(prefix string) string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand aborts the program instead
	return prefix + hex.EncodeToString(b)
}
