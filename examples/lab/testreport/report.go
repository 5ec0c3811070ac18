package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of a package that does not compile
	Elapsed                       float64
}

// report collects the events.
type report struct {
	out    io.Writer
	output map[string][]string            // by package and test, removed when the test passes
	counts map[string]*count              // by package
	left   map[string]map[string][]string // reason -> package -> tests
	failed []string                       // packages
}

type count struct{ passed, skipped int }

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string][]string{}, counts: map[string]*count{}, left: map[string]map[string][]string{}}
}

// take processes one event.
func (r *report) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		if !noise.MatchString(e.Output) {
			r.output[key] = append(r.output[key], e.Output)
		}
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.packageEnds(e)
		} else {
			r.testEnds(e, key)
		}
	}
}

// noise matches lines of go test that the report replaces by its own.
var noise = regexp.MustCompile(`^(=== (RUN|PAUSE|CONT|NAME) |FAIL\s)`)

func (r *report) testEnds(e event, key string) {
	c := r.counts[e.Package]
	if c == nil {
		c = &count{}
		r.counts[e.Package] = c
	}
	switch e.Action {
	case "pass":
		c.passed++
	case "skip":
		c.skipped++
		why := reason(r.output[key])
		if r.left[why] == nil {
			r.left[why] = map[string][]string{}
		}
		r.left[why][e.Package] = append(r.left[why][e.Package], e.Test)
	case "fail":
		fmt.Fprint(r.out, strings.Join(r.output[key], ""))
	}
	delete(r.output, key)
}

// packageEnds prints a package's line; none for a package without tests.
func (r *report) packageEnds(e event) {
	said := strings.Join(r.output[e.Package+" "], "")
	delete(r.output, e.Package+" ")
	c := r.counts[e.Package]
	switch {
	case e.Action == "fail":
		r.failed = append(r.failed, e.Package)
		// After a panic or a timeout, the output of unfinished tests is the only
		// information.
		for _, key := range slices.Sorted(maps.Keys(r.output)) {
			if strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprint(r.out, strings.Join(r.output[key], ""))
			}
		}
		fmt.Fprintf(r.out, "%sFAIL  %-40s %6.1f s\n", said, short(e.Package), e.Elapsed)
	case c == nil:
	default:
		fmt.Fprintf(r.out, "ok    %-40s %s  %s\n", short(e.Package), took(e, said), c)
	}
}

func took(e event, said string) string {
	if strings.Contains(said, "(cached)") {
		return "  cached"
	}
	return fmt.Sprintf("%6.1f s", e.Elapsed)
}

// String returns "12 passed, 3 left out", including subtests.
func (c *count) String() string {
	s := fmt.Sprintf("%d passed", c.passed)
	if c.skipped > 0 {
		s += fmt.Sprintf(", %d left out", c.skipped)
	}
	return s
}

// named is the number of a package's tests that are listed by name; others are counted.
const named = 30

// end prints the skipped tests by reason and package.
func (r *report) end() {
	if len(r.left) > 0 {
		fmt.Fprintln(r.out, "\nLeft out:")
	}
	for _, why := range slices.Sorted(maps.Keys(r.left)) {
		fmt.Fprintf(r.out, "  %s\n", why)
		for _, pkg := range slices.Sorted(maps.Keys(r.left[why])) {
			tests := r.left[why][pkg]
			if len(tests) > named {
				fmt.Fprintf(r.out, "    %s: %d tests\n", short(pkg), len(tests))
				continue
			}
			fmt.Fprintf(r.out, "    %s: %s\n", short(pkg), strings.Join(tests, ", "))
		}
	}
	if len(r.failed) > 0 {
		fmt.Fprintf(r.out, "\nFailed: %s\n", strings.Join(r.failed, ", "))
	}
}

// skipLine matches the output of t.Skip: "    x_test.go:12: the reason".
var skipLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)$`)

// reason returns the last output of a test before it skipped itself.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		if m := skipLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			return m[1]
		}
	}
	return "no reason given"
}

func short(pkg string) string { return strings.TrimPrefix(pkg, "certroll/") }
