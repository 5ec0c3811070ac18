// Package manual writes the man pages from the commands' help, with the macros of
// man(7).
//
// It owns the sections, names and dates of the pages. It knows only the command that
// writes them, and certroll-dns, the archive's other program.
package manual
