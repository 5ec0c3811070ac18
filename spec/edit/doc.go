// Package edit changes the text of certificate blocks for a person at a command
// line: it asks for a rotation, and turns renewal off and on.
//
// An Editor changes one setting of one block and leaves all other bytes of the
// files as they are. It decodes the files after each edit and takes the edit only
// where they then mean the same but for that change.
//
// The package reads and writes no file, and talks to no Git host: the caller hands
// it the files of a revision and commits what Changed returns.
package edit
