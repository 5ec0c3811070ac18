// Package edit changes the text of certificate blocks for a person at a command line: it
// requests a rotation, and turns renewal off and on.
//
// An Editor changes one setting of one block and leaves all other bytes of the files
// unchanged. It decodes the files after each edit, and accepts the edit only if the spec
// differs by exactly that change.
//
// The package reads and writes no file and connects to no Git host: the caller passes the
// files of a revision and commits the result of Changed.
package edit
