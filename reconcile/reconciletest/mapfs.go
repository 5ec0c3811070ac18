package reconciletest

import (
	"testing/fstest"
)

// MapFS is a tree that edits make a new one of.
type MapFS fstest.MapFS

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
