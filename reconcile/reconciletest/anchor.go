package reconciletest

import (
	"context"
	"errors"
	"maps"
	"sync"
)

// MemAnchor is the checkpoint's secret in memory. OnStore runs once, before a write.
type MemAnchor struct {
	mu      sync.Mutex
	Fields  map[string]string
	Version int
	LoadErr error
	OnStore func()
	Stores  int
}

// Load returns the fields stored last.
func (a *MemAnchor) Load(context.Context) (map[string]string, int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.Fields), a.Version, a.LoadErr
}

// Store stores fields if version is the one that Load returned (check-and-set).
func (a *MemAnchor) Store(_ context.Context, fields map[string]string, version int) error {
	if do := a.OnStore; do != nil {
		a.OnStore = nil
		do()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if version != a.Version {
		return ConflictError{errors.New("check-and-set parameter did not match the current version")}
	}
	a.Fields, a.Version = maps.Clone(fields), version+1
	a.Stores++
	return nil
}
