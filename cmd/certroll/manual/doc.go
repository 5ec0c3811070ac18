// Package manual writes the man pages from the help of the commands, by the macros of
// man(7).
//
// It owns the sections, names and dates of the pages. It knows no command but the one that
// writes them and the other program of the archive, certroll-dns.
//
// No library makes these pages. cobra/doc reads the help as Markdown, in which file globs
// and names with underscores come out wrong. muesli/mango-cobra makes one page of the whole
// program, in which the commands have neither their long help nor their examples.
package manual
