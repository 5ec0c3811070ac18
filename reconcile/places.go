package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"sync"
)

// Manages tells by a secret's custom metadata whether certroll wrote it.
func Manages(custom map[string]string) bool { return custom[metaManagedBy] == managedBy }

// places are all places in Vault that a tree of the ledger ever named as a
// certificate's. They are read once for a head: the audit log may be long.
type places struct {
	mu   sync.Mutex
	head string
	read bool
	all  map[string]bool // "mount/path"
}

// Recorded tells whether the ledger ever said that a certificate's secret is, or
// is to be, at a place, which is given as "mount/path". It goes by the ledger as
// it was seen last.
func (r *Reconciler) Recorded(ctx context.Context, place string) (bool, error) {
	r.scribe.mu.Lock()
	tree, head := r.scribe.last, r.scribe.head
	r.scribe.mu.Unlock()
	if tree == nil {
		var err error
		if tree, head, _, err = r.scribe.snapshot(ctx); err != nil {
			return false, fmt.Errorf("looking in the ledger whether %s is a certificate's secret: %w", place, err)
		}
	}
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	if !r.places.read || r.places.head != head {
		all, err := placesOf(tree)
		if err != nil {
			return false, fmt.Errorf("looking in the ledger whether %s is a certificate's secret: %w", place, err)
		}
		r.places.all, r.places.head, r.places.read = all, head, true
	}
	return r.places.all[place], nil
}

// placesOf reads the places off records and events. A file or line that cannot
// be read names none: it stops nothing else.
func placesOf(tree fs.FS) (map[string]bool, error) {
	all := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case strings.HasPrefix(name, "certificates/") && strings.HasSuffix(name, ".json"):
			b, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			if record, bad := UnmarshalRecord(b); bad == nil && record.Live != nil {
				all[record.Live.Mount+"/"+record.Live.Path] = true
			}
		case strings.HasSuffix(name, ".jsonl"):
			b, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			for line := range bytes.Lines(b) {
				var e struct {
					Place string `json:"vault_path"`
				}
				if bytes.Contains(line, []byte(`"vault_path"`)) && json.Unmarshal(line, &e) == nil {
					all[e.Place] = true
				}
			}
		}
		return nil
	})
	return all, err
}
