//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"certroll/cmd/certroll/console"
	"certroll/reconcile/ledger"
)

// diskSize is the size of the disk with the state directory in TestFullDisk.
const diskSize = 2 << 20

// shell runs commands in its own namespaces, where the state directory is on a small disk (tmpfs). This needs no root
// privileges.
type shell struct {
	w   *world
	in  io.Writer
	out *output
	pid int
	n   int // number of commands so far
}

// onSmallDisk moves the state directory to a disk of diskSize.
func (w *world) onSmallDisk() *shell {
	w.t.Helper()
	cmd := w.command()
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	s := &shell{w: w, in: in, out: &output{}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		w.t.Skipf("this machine makes no user namespaces: %v", err)
	}
	w.t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s.pid = cmd.Process.Pid
	s.ok("cp -a state kept && mount -t tmpfs -o size=" + strconv.Itoa(diskSize) + ",mode=700 none state && cp -a kept/. state/")
	return s
}

var ended = regexp.MustCompile(`<<ended (\d+) (\d+)>>\n`)

// do runs a command and returns its output and exit code.
func (s *shell) do(command string) (string, int) {
	s.w.t.Helper()
	s.n++
	before := len(s.out.String())
	if _, err := fmt.Fprintf(s.in, "%s\necho \"<<ended %d $?>>\"\n", command, s.n); err != nil {
		s.w.t.Fatal(err)
	}
	mark := fmt.Sprintf("<<ended %d ", s.n)
	s.w.until("the end of "+command, s.out, func() bool { return strings.Contains(s.out.String()[before:], mark) })
	said := s.out.String()[before:]
	code, err := strconv.Atoi(ended.FindStringSubmatch(said)[2])
	if err != nil {
		s.w.t.Fatal(err)
	}
	return said, code
}

func (s *shell) ok(command string) string {
	s.w.t.Helper()
	out, code := s.do(command)
	if code != 0 {
		s.w.t.Fatalf("%s: exit code %d\n%s", command, code, out)
	}
	return out
}

// filler returns the path, for this process, of the file that fills the disk.
func (s *shell) filler() string {
	return fmt.Sprintf("/proc/%d/root%s", s.pid, filepath.Join(s.w.dir, "state", "filler"))
}

// fill fills the disk completely.
func (s *shell) fill() {
	f, err := os.Create(s.filler())
	if err != nil {
		s.w.t.Error(err)
		return
	}
	defer func() { _ = f.Close() }()
	for n := 0; ; n++ {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return
		}
		if n > diskSize {
			s.w.t.Error("the disk has no end")
			return
		}
	}
}

func (s *shell) makeRoom() {
	s.w.t.Helper()
	if err := os.Remove(s.filler()); err != nil {
		s.w.t.Error(err)
	}
}

const noSpace = "no space left on device"

// TestFullDisk: a full disk under the state directory, from the start or during an order, loses no order and no event,
// and the output names it.
func TestFullDisk(t *testing.T) {
	sideBySide(t, map[string]func(*testing.T, *world){
		"before": fullBefore, "meanwhile": fullMeanwhile, "Git away too": fullAndGitAway, "run": fullUnderRun,
	})
}

// fullBefore: the disk is full at the start. certroll does what is due and writes the events to Git from memory.
func fullBefore(t *testing.T, l *world) {
	w, f := l.issued(t, "early")
	s := w.onSmallDisk()
	s.fill()
	if out := s.ok("certroll apply --auto-approve"); !strings.Contains(out, noSpace) || blames.MatchString(out) {
		t.Errorf("it does not name the disk:\n%s", out)
	}
	w.tells("early", "issue success, rotate success")
	s.makeRoom()
	s.ok("certroll apply --auto-approve")
	w.tells("early", "issue success, rotate success")
	f.orders(2, 2)
	w.noPending()
}

// fullMeanwhile: the disk fills up during an order. The pair goes live, and certroll writes the events to Git from
// memory.
func fullMeanwhile(t *testing.T, l *world) {
	w, f := l.issued(t, "amid")
	s := w.onSmallDisk()
	f.breaks(before(finalization, s.fill))
	out, _ := s.do("certroll apply --auto-approve")
	if !strings.Contains(out, noSpace) || blames.MatchString(out) {
		t.Errorf("it does not name the disk:\n%s", out)
	}
	w.tells("amid", "issue success, rotate success")
	s.makeRoom()
	s.ok("certroll apply --auto-approve")
	w.tells("amid", "issue success, rotate success")
	f.orders(2, 2)
	w.noPending()
}

// fullAndGitAway: disk and Git both fail. The pair goes live, and the next run records it without a new order.
func fullAndGitAway(t *testing.T, l *world) {
	w, f := l.issued(t, "alone")
	s := w.onSmallDisk()
	f.breaks(before(finalization, func() {
		s.fill()
		if err := os.Rename(w.repo, w.repo+".away"); err != nil {
			t.Error(err)
		}
	}))
	out, code := s.do("certroll apply --auto-approve")
	if code != console.ExitError || !strings.Contains(out, noSpace) || !strings.Contains(out, "not recorded") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if m := w.metadata("tls/alone"); m.Data.CurrentVersion != 2 {
		t.Errorf("the secret is at version %d", m.Data.CurrentVersion)
	}
	s.makeRoom()
	if err := os.Rename(w.repo+".away", w.repo); err != nil {
		t.Fatal(err)
	}
	w.expireLease() // the failure prevented its release
	s.ok("certroll apply --auto-approve")
	s.ok("certroll apply --auto-approve")
	w.tells("alone", "issue success, rotate success")
	f.orders(2, 2)
	w.noPending()
}

// fullUnderRun: the daemon reports once that the disk is full and once that it no longer is. status, the page, /readyz
// and a notification report the same.
func fullUnderRun(t *testing.T, l *world) {
	w, f := l.faulty(t, declare("", "daemon"))
	sc := &scene{world: w, f: f, r: newReceiver(t), out: &output{}, saw: &strings.Builder{}}
	w.settings(allTold(w.blocks(sc.r)))
	w.certroll(0, "apply", "-auto-approve")
	s := w.onSmallDisk()
	s.ok(": >run.log; certroll run >>run.log 2>&1 & run=$!")
	log := func() string {
		b, err := os.ReadFile(filepath.Join(w.dir, "run.log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	warned := func(n int) func() bool {
		return func() bool {
			done := 0
			for _, e := range w.story("daemon") {
				if e.Status == ledger.Success {
					done++
				}
			}
			return done == n
		}
	}
	sc.home = w.findsRun(s.out, log)
	w.until("the first pass", s.out, func() bool { return strings.Contains(log(), "msg=revision") })
	f.breaks(before(finalization, s.fill))
	w.push(declare(`rotate = "now"`, "daemon"), "Rotate it")
	w.until("the rotation", s.out, warned(2))
	w.until("the word of the disk", s.out, func() bool { return strings.Contains(log(), noSpace) })
	sc.show(map[string]string{
		"page": `state_dir|state directory`, "readyz": `state_dir`, "notice": `^certroll: the state directory cannot be written: no space left on device$`,
	})
	if said, _ := s.do("certroll status --config " + asking); !strings.Contains(said, noSpace) {
		t.Errorf("status says nothing of the disk:\n%s", said)
	}
	s.makeRoom()
	w.push(declare(`rotate = "again"`, "daemon"), "Rotate it again")
	w.until("another rotation", s.out, warned(3))
	s.ok("kill -TERM $run; wait $run")
	if n := strings.Count(log(), "level=ERROR msg=action"); n > 1 {
		t.Errorf("the failure is told %d times:\n%s", n, log())
	}
	if said := blames.FindString(log()); said != "" {
		t.Errorf("it says %q of a full disk:\n%s", said, log())
	}
	f.orders(3, 3)
	w.noPending()
}
