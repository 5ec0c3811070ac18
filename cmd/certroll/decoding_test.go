package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bombs are small files that kept earlier versions busy for minutes or hours.
func bombs() map[string]string {
	var alternatives strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&alternatives, "x*x*y%d|", i)
	}
	return map[string]string{
		"regexall": "locals {\n p = \"(?:" + alternatives.String() + "z)\"\n s = join(\"\", [for i in range(1000) : \"" + strings.Repeat("x", 100) +
			"\"])\n r = [for i in range(1000) : length(regexall(\"${local.p}${i}\", local.s))]\n}\n",
		"distinct": "locals {\n a = range(1000)\n b = flatten([for i in range(60) : [for j in local.a : [for k in range(60) : i*1000+j]]])\n c = length(distinct(local.b))\n}\n",
		"names":    "locals {\n " + strings.Repeat("a", 200_000) + " = 1\n x = local." + strings.Repeat("ab", 200_000) + "\n}\n",
	}
}

// longDecode returns a revision that takes about half a minute to decode: the evaluation limit grows with the size of
// the files.
func longDecode() map[string]string {
	files := map[string]string{}
	for i := range 12 {
		files[fmt.Sprintf("filler%d.hcl", i)] = strings.Repeat("# "+strings.Repeat("-", 98)+"\n", 10_000)
	}
	files["long.hcl"] = "locals {\n r = range(1000)\n x = length([for i in local.r : length([for j in local.r : length([for k in local.r : k if false])])])\n}\n"
	return files
}

// cpuOf returns the CPU time of a process, from fields 14 and 15 of proc(5)'s stat, in clock ticks of a hundredth of a
// second.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// heard signals a program and requires that it ends soon. The limit is wide for a busy machine; CPU time is what
// counts.
func heard(t *testing.T, cmd *exec.Cmd, out *output) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("SIGTERM was not heard:\n%s", out)
	}
}

// TestDecodingIsStopped: SIGTERM ends a command while it is decoding.
func TestDecodingIsStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range longDecode() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// On a busy machine the default limit could end the command before decoding starts.
	patient := filepath.Join(t.TempDir(), "certroll.hcl")
	if err := os.WriteFile(patient, []byte("decode_timeout = \"30m\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := exec.CommandContext(t.Context(), "certroll", "validate", "-config", patient, dir), &output{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// After some CPU time, parsing is over and evaluation has started.
	for deadline := time.Now().Add(5 * time.Minute); cpuOf(t, cmd.Process.Pid) < 3*time.Second; {
		if time.Now().After(deadline) {
			t.Fatalf("it does not work:\n%s", out)
		}
		time.Sleep(50 * time.Millisecond) // polls another process
	}
	heard(t, cmd, out)
	if !strings.Contains(out.String(), "Decoding was stopped") {
		t.Errorf("it does not say why it ended:\n%s", out)
	}
}

// TestRunWithBombs: however expensive the head is to decode, the revision in force is still renewed, and the daemon
// ends on a signal.
func TestRunWithBombs(t *testing.T) {
	t.Parallel()
	w := newLab(t).fresh(t, map[string]string{
		// Of three certificates, two may be issued again at once without a person's consent.
		"certs.hcl": oneCertificate + strings.ReplaceAll(oneCertificate, "api", "more") + strings.ReplaceAll(oneCertificate, "api", "other"),
	})
	w.settings(`interval = "1s"`)
	cmd, out := w.startRun()
	w.until("the certificates", out, func() bool { return w.countEvents("issue", "success") == 3 })
	n := 0
	for name, text := range bombs() {
		w.push(map[string]string{"bomb.hcl": text}, "Bomb: "+name)
		n++
		w.until("the refusal of "+name, out, func() bool { return w.countEvents("config", "failure") == n })
	}
	// While the expensive revision is being decoded, certroll restores a deleted secret.
	w.push(longDecode(), "Take long")
	if err := w.vault.API(t.Context(), "DELETE", "secret/data/tls/api", nil, nil); err != nil {
		t.Fatal(err)
	}
	w.until("what was deleted", out, func() bool { return w.countEvents("issue", "success") == 4 })
	if w.countEvents("config", "failure") != n {
		t.Errorf("the long one was done before:\n%s", out)
	}
	heard(t, cmd, out)

	// A start with such a head begins with the last good revision.
	if err := w.vault.API(t.Context(), "DELETE", "secret/data/tls/more", nil, nil); err != nil {
		t.Fatal(err)
	}
	cmd, out = w.startRun()
	w.until("what was deleted before the start", out, func() bool { return w.countEvents("issue", "success") == 5 })
	heard(t, cmd, out)
}
