package reconciletest

import (
	"testing/fstest"
)

// MapFS is an immutable tree: each edit returns a new one.
type MapFS fstest.MapFS

// With returns the tree with some files replaced.
func (m MapFS) With(files map[string][]byte) MapFS {
	next := MapFS{}
	for name, f := range m {
		next[name] = f
	}
	for name, b := range files {
		next[name] = &fstest.MapFile{Data: b}
	}
	return next
}
