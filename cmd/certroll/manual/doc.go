// Package manual writes the man pages from the help of the commands, by the macros of
// man(7).
//
// It owns the sections, names and dates of the pages. It knows no command but the one that
// writes them and the other program of the archive, certroll-dns.
package manual
