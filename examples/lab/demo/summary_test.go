package main

import (
	"strings"
	"testing"
)

const applied = `+ api  will be issued
    names   api.lab.test

Plan: 1 to issue.
   0.4s key      api: making a fresh ecdsa-P-256 key
   0.4s order    api: ordering api.lab.test from pebble
   1.3s dns      api: writing the TXT record _acme-challenge.api.lab.test. through the DNS account lab
   1.4s dns      api: writing the TXT record _acme-challenge.www.lab.test. through the DNS account lab
ok api: issue, serial 01, secret/tls/api version 1
Apply: 1 done, 0 failed; ledger at e465908778b2.
`

// TestSummary: one line replaces the progress lines, a plan appears only once, and all
// other lines stay.
func TestSummary(t *testing.T) {
	const done = "ok api: issue, serial 01, secret/tls/api version 1\nApply: 1 done, 0 failed; ledger at e465908778b2.\n"
	const progress = "   1.4s of progress: 1 key, 1 order, 2 dns\n"
	for name, c := range map[string]struct {
		planned  bool
		in, want string
	}{
		"first":          {false, applied, "+ api  will be issued\n    names   api.lab.test\n\nPlan: 1 to issue.\n" + progress + done},
		"shown before":   {true, applied, "(the plan, as above)\n" + progress + done},
		"nothing to do":  {true, "Nothing to do. 5 certificates.\n", "Nothing to do. 5 certificates.\n"},
		"ended too soon": {false, "   0.4s key      api: making a key\n", "   0.4s of progress: 1 key\n"},
	} {
		var out strings.Builder
		s := &summary{out: &out, planned: c.planned}
		if err := s.copy(strings.NewReader(c.in)); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, out.String(), c.want)
		}
	}
}

// TestSummaryOnATerminal: each progress line overwrites the one before, and none is
// wider than the terminal.
func TestSummaryOnATerminal(t *testing.T) {
	var out strings.Builder
	s := &summary{out: &out, terminal: true}
	if err := s.copy(strings.NewReader(applied)); err != nil {
		t.Fatal(err)
	}
	shown := strings.Split(out.String(), "\r\033[K")
	if len(shown) != 6 || !strings.HasPrefix(shown[5], "   1.4s of progress: ") {
		t.Errorf("got %d writings over the line: %q", len(shown)-1, shown)
	}
	for _, line := range shown[1 : len(shown)-1] {
		if len(line) > 79 || strings.Contains(line, "\n") {
			t.Errorf("a progress line is not one line of a terminal: %q", line)
		}
	}
}
