// Package configrepo reads revisions of the config repo, decodes them by certroll.hcl, and
// follows which of them is in force.
//
// It owns which revision a command works on, whether a revision was in force before, so
// that a new rule holds instead of rejecting it, the last good revision on the disk, the
// ancestry and signatures that a new one must have, and the warnings of files that are
// not read.
//
// It never writes to the config repo. It prints nothing: what it finds it returns, or
// hands to its observers.
package configrepo
