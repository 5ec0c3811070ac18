// Package filelock owns a lock that one process holds at a time, flock(2) on a file, and
// the name of the holder for the process that finds the lock taken. It uses gofrs/flock for
// the lock itself.
//
// It never waits for the lock, and never removes the file.
package filelock
