// Package edits has the commands that change the config repo: rotate, disable and enable.
//
// It owns how a change is made: as a commit that is pushed, as a patch, or in the files of
// a directory, and the author and reason that it carries.
//
// Git is the only way in: these commands change nothing in Vault or at a CA.
package edits
