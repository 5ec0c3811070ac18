//go:build race

package main

// raced reports that the race detector is on. It multiplies memory and CPU use, so tests check such bounds without it.
const raced = true
