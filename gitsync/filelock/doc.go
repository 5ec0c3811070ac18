// Package filelock owns a lock that one process has at a time, flock(2) on a file,
// and the name of its holder for the process that finds it taken. The lock itself is
// gofrs/flock's.
//
// It never waits for the lock, and never removes the file.
package filelock
