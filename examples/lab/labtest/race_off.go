//go:build !race

package labtest

// Race reports whether the race detector watches, under which a test takes several
// times as long.
const Race = false
