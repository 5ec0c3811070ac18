//go:build race

package labtest

// Race reports whether the race detector is on. Tests then take several times as long.
const Race = true
