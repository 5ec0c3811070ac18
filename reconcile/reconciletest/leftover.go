package reconciletest

import (
	"slices"
	"strings"
)

// KeysOfState are the secrets of certroll's own state that hold something.
func (w *World) KeysOfState() []string {
	var paths []string
	for path, s := range w.Vault.Secrets {
		if strings.HasPrefix(path, "secret/certroll/") && len(s.Versions) > 0 {
			paths = append(paths, path)
		}
	}
	return slices.Sorted(slices.Values(paths))
}
