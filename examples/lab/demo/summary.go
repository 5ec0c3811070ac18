package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

// isTerminal reports whether lines can be overwritten.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progressLine matches apply's output for one step: "   0.4s order    api: ordering ...".
var progressLine = regexp.MustCompile(`^ +(\d+\.\d)s (\w+) `)

// summary copies apply's output, and replaces consecutive progress lines by one line. A
// terminal shows each of them in the meantime, one over the other. summary omits a plan
// that was already shown.
type summary struct {
	out      io.Writer
	terminal bool
	planned  bool // the plan was already shown

	steps []string // in the order of their first line
	count map[string]int
	last  string // time of the last progress line
}

// copy reads to the end of the output.
func (s *summary) copy(from io.Reader) error {
	var plan []string // lines of a plan that was already shown, up to its last one
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case progressLine.MatchString(line):
			s.progress(line)
		case s.planned && strings.HasPrefix(line, "Plan: "):
			s.planned, plan = false, nil
			fmt.Fprintln(s.out, "(the plan, as above)")
		case s.planned:
			plan = append(plan, line)
		default:
			s.flush()
			fmt.Fprintln(s.out, line)
		}
	}
	s.flush()
	for _, line := range plan { // the lines contained no plan
		fmt.Fprintln(s.out, line)
	}
	return lines.Err()
}

func (s *summary) progress(line string) {
	m := progressLine.FindStringSubmatch(line)
	if s.count == nil {
		s.count = map[string]int{}
	}
	if !slices.Contains(s.steps, m[2]) {
		s.steps = append(s.steps, m[2])
	}
	s.count[m[2]]++
	s.last = m[1]
	if s.terminal {
		const width = 79 // a line that wraps cannot be overwritten
		fmt.Fprintf(s.out, "\r\033[K%.*s", width, line)
	}
}

// flush prints the one line for all progress lines so far.
func (s *summary) flush() {
	if len(s.steps) == 0 {
		return
	}
	if s.terminal {
		fmt.Fprint(s.out, "\r\033[K")
	}
	var parts []string
	for _, step := range s.steps {
		parts = append(parts, fmt.Sprintf("%d %s", s.count[step], step))
	}
	fmt.Fprintf(s.out, "   %ss of progress: %s\n", s.last, strings.Join(parts, ", "))
	s.steps, s.count = nil, nil
}
