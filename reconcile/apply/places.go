package apply

import (
	"context"
	"fmt"

	"certroll/reconcile/observe"
)

// Manages tells by a secret's custom metadata whether certroll wrote it.
func Manages(custom map[string]string) bool {
	return custom[observe.MetaManagedBy] == observe.ManagedBy
}

// Recorded tells whether the ledger ever said that a certificate's secret is, or
// is to be, at a place, which is given as "mount/path". It goes by the ledger as
// it was seen last.
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
