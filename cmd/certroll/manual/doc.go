// Package manual writes the man pages from the commands' help, with the macros of
// man(7).
//
// It owns the sections, names and dates of the pages. It knows only the command that
// writes them, and certroll-dns, the archive's other program.
//
// No library makes these pages. cobra/doc reads the help as Markdown, in which file globs
// and names with underscores come out wrong. muesli/mango-cobra makes one page of the whole
// program, in which the commands have neither their long help nor their examples.
package manual
