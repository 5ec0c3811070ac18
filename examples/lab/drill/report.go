package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// report is the result of a part: figures for the table, and failures.
type report struct {
	name     string
	out      io.Writer
	began    time.Time
	rows     [][2]string
	failures []string
}

// figure adds a row to the table.
func (r *report) figure(what, format string, args ...any) {
	r.rows = append(r.rows, [2]string{what, fmt.Sprintf(format, args...)})
}

// none adds a row for something that must not happen, and fails if there are examples of
// it.
func (r *report) none(what string, examples []string) {
	r.figure(what, "%d", len(examples))
	const shown = 5
	for i, example := range examples {
		if i == shown {
			r.fail("%s: and %d more", what, len(examples)-shown)
			break
		}
		r.fail("%s: %s", what, example)
	}
}

// fail records something that must not happen.
func (r *report) fail(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// say prints a line of progress.
func (r *report) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%s %5.0fs  %s\n", r.name, time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// print writes the table.
func (r *report) print() {
	width := 0
	for _, row := range r.rows {
		width = max(width, len(row[0]))
	}
	fmt.Fprintf(r.out, "\n-- %s %s\n", r.name, strings.Repeat("-", max(3, 60-len(r.name))))
	for _, row := range r.rows {
		fmt.Fprintf(r.out, "  %-*s  %s\n", width, row[0], row[1])
	}
	verdict := "nothing was lost or doubled"
	if len(r.failures) > 0 {
		verdict = fmt.Sprintf("failures: %d, listed at the end", len(r.failures))
	}
	fmt.Fprintf(r.out, "  %s, after %s\n\n", verdict, time.Since(r.began).Round(time.Second))
}
