// Package configrepo reads a revision of the config repo and decodes it by certroll.hcl.
//
// It owns which revision a command works on, whether a revision was in force before, so
// that a new rule holds instead of rejecting it, and the warnings of files that are not
// read.
//
// It never writes to the config repo, and it shows nothing.
package configrepo
