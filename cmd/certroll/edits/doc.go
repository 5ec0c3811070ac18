// Package edits has the commands that change the config repo: rotate, disable and
// enable.
//
// It owns the forms of a change (a pushed commit, a patch, or edited files in a
// directory), and its author and reason.
//
// These commands change nothing in Vault or at a CA: every change goes through Git.
package edits
