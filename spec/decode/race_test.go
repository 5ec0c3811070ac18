//go:build race

package decode

// raced: the race detector multiplies what a program takes of memory and CPU, so
// bounds on them are checked without it alone.
const raced = true
