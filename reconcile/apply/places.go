package apply

import (
	"context"
	"fmt"

	"certroll/reconcile/observe"
)

// Manages reports whether certroll wrote a secret, according to its custom metadata.
func Manages(custom map[string]string) bool {
	return custom[observe.MetaManagedBy] == observe.ManagedBy
}

// Recorded reports whether the ledger ever named a place ("mount/path") as a
// certificate's secret. It reads the tree seen last.
func (r *Reconciler) Recorded(ctx context.Context, place string) (bool, error) {
	r.Writer.Mu.Lock()
	tree, head := r.Writer.Last, r.Writer.Head
	r.Writer.Mu.Unlock()
	if tree == nil {
		var err error
		if tree, head, _, err = r.Writer.Snapshot(ctx); err != nil {
			return false, fmt.Errorf("looking in the ledger whether %s is a certificate's secret: %w", place, err)
		}
	}
	r.places.mu.Lock()
	defer r.places.mu.Unlock()
	if !r.places.read || r.places.head != head {
		all, err := observe.PlacesOf(tree)
		if err != nil {
			return false, fmt.Errorf("looking in the ledger whether %s is a certificate's secret: %w", place, err)
		}
		r.places.all, r.places.head, r.places.read = all, head, true
	}
	return r.places.all[place], nil
}
