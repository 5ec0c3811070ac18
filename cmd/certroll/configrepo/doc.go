// Package configrepo reads revisions of the config repo, decodes them with certroll.hcl,
// and tracks which revision is in force.
//
// It owns the choice of a command's revision and the last good revision on disk. It
// decides whether a revision was in force before, so that a new rule holds and does not
// reject it. It checks the ancestry and signatures of new revisions, and warns about
// files that certroll does not read.
//
// It never writes to the config repo. It prints nothing: it returns its results or
// passes them to its observers.
package configrepo
