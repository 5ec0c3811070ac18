package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// logLine is one line of the log in JSON.
type logLine map[string]any

func (l logLine) text(key string) string {
	s, _ := l[key].(string)
	return s
}

// logLines parses a log of JSON objects, one per line.
func logLines(t *testing.T, log string) []logLine {
	t.Helper()
	var lines []logLine
	for text := range strings.Lines(log) {
		var l logLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("this line of the log is no JSON: %v\n%s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}

// TestLogOfARun: the daemon's JSON log contains each decision once, however many passes it lasts.
func TestLogOfARun(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{"certs.hcl": oneCertificate, "lost.hcl": strings.NewReplacer(`"api"`, `"lost"`, "api.lab.test", "api.lost.test").Replace(oneCertificate)})
	w.settings("interval = \"1s\"\nlog {\n  format = \"json\"\n}")
	cmd, out := w.startRun()
	count := func(message, certificate string) int {
		n := 0
		text := out.String()
		for _, l := range logLines(t, text[:strings.LastIndexByte(text, '\n')+1]) {
			if l.text("msg") == message && (certificate == "" || l.text("certificate") == certificate) {
				n++
			}
		}
		return n
	}
	comes := func(message, certificate string) {
		t.Helper()
		w.until(message+" "+certificate, out, func() bool { return count(message, certificate) > 0 })
	}
	comes("held", "lost")
	w.push(map[string]string{"bad.hcl": "certificate \"bad\" {}\n"}, "Break it")
	comes("revision refused", "")
	away := w.repo + ".away"
	if err := os.Rename(w.repo, away); err != nil {
		t.Fatal(err)
	}
	comes("pull failed", "")
	if err := os.Rename(away, w.repo); err != nil {
		t.Fatal(err)
	}
	comes("pull works again", "")
	w.push(map[string]string{"bad.hcl": certificateNamed("more")}, "Mend it")
	comes("action", "more")
	w.stopRun(cmd, out)
	for _, want := range []struct{ message, certificate string }{
		{"started", ""}, {"planned", "api"}, {"action", "api"}, {"planned", "lost"}, {"action", "lost"}, {"held", "lost"}, {"planned", "more"}, {"action", "more"},
		{"revision refused", ""}, {"pull failed", ""}, {"pull works again", ""}, {"stopped", ""},
	} {
		if n := count(want.message, want.certificate); n != 1 {
			t.Errorf("%s %s is said %d times", want.message, want.certificate, n)
		}
	}
	if taken, released := count("lease taken", ""), count("lease released", ""); taken == 0 || taken != released {
		t.Errorf("the lease is taken %d times and released %d times", taken, released)
	}
	if n := count("revision", ""); n != 2 {
		t.Errorf("%d revisions are taken", n)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}
