package journal

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"certroll/gitsync/fault"
	"certroll/gitsync/gitsynctest"
)

// journalChild makes the test binary the process that the crash test kills.
const journalChild = "GITSYNC_TEST_JOURNAL_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(journalChild); dir != "" {
		if err := appendForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// appendForEver numbers its entries from the end of the journal and of the file "ack". It prints each number once the
// entry is on disk, and acknowledges some entries now and then.
func appendForEver(dir string) error {
	j, err := Open(dir)
	if err != nil {
		return err
	}
	next, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	for ; ; next++ {
		if err := j.Append(entryOf(next)); err != nil {
			return err
		}
		fmt.Println("append", next)
		if list, err := j.Entries(); err != nil {
			return err
		} else if len(list) > 5 && rand.N(3) == 0 {
			n := 1 + rand.N(len(list))
			fmt.Println("acking", n)
			if err := j.Ack(n); err != nil {
				return err
			}
			fmt.Println("acked", n)
		}
	}
}

// entryOf returns an entry whose content shows whether it is complete.
func entryOf(n int) []byte {
	return fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", n%300))
}

func openJournal(t testing.TB, dir string) *Journal {
	t.Helper()
	j, err := Open(dir)
	gitsynctest.Must(t, err)
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func entries(t testing.TB, j *Journal) []string {
	t.Helper()
	list, err := j.Entries()
	gitsynctest.Must(t, err)
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = string(e)
	}
	return out
}

// childSaid is the output of a killed child, line by line.
type childSaid struct {
	appended int // the last entry that the child reported as on disk
	sure     int // entries whose Ack returned
	perhaps  int // entries whose Ack may not have returned
}

// killOne runs a child from entry `next`, kills it at a random moment after it printed `lines` lines, and returns its
// output.
func killOne(t *testing.T, dir string, next, lines int) childSaid {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], strconv.Itoa(next))
	child.Env = append(os.Environ(), journalChild+"="+dir)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	gitsynctest.Must(t, err)
	gitsynctest.Must(t, child.Start())
	said := childSaid{appended: next - 1}
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		if n == lines {
			// Kill the child somewhere in its next step, at a different point each time.
			time.AfterFunc(rand.N(300*time.Microsecond), func() { _ = child.Process.Kill() })
		}
		var what string
		var number int
		if _, err := fmt.Sscan(scanner.Text(), &what, &number); err != nil {
			break // the last line in the pipe can be incomplete
		}
		switch what {
		case "append":
			said.appended = number
		case "acking":
			said.perhaps = number
		case "acked":
			said.sure, said.perhaps = said.sure+number, 0
		}
	}
	if err := child.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("the child was not killed: %v\n%s", err, stderr.String())
	}
	return said
}

// TestJournalKilled: a process killed at any point between Append and Ack loses no entry that Append reported as on
// disk, and restores no entry that Ack reported as removed.
func TestJournalKilled(t *testing.T) {
	dir := t.TempDir()
	next, gone := 1, 0 // the next entry, and the last acknowledged one
	unheard := 0
	for round := range 60 {
		said := killOne(t, dir, next, rand.N(25))
		j := openJournal(t, dir)
		list := entries(t, j)
		gitsynctest.Must(t, j.Close())
		gone += said.sure
		first, last := gone+1, gone
		if len(list) > 0 {
			_, err := fmt.Sscan(list[0], &first)
			gitsynctest.Must(t, err)
			last = first + len(list) - 1
		} else if said.perhaps > 0 {
			first, last = gone+said.perhaps+1, gone+said.perhaps
		}
		if first != gone+1 && (said.perhaps == 0 || first != gone+said.perhaps+1) {
			t.Fatalf("round %d: the journal begins with %d, %d are acknowledged and of %d nobody heard", round, first, gone, said.perhaps)
		}
		if last != said.appended && last != said.appended+1 {
			t.Fatalf("round %d: the journal ends with %d, the child said %d", round, last, said.appended)
		}
		for i, e := range list {
			if e != string(entryOf(first+i)) {
				t.Fatalf("round %d: entry %d is %q", round, first+i, e)
			}
		}
		if last != said.appended || first != gone+1 {
			unheard++
		}
		next, gone = last+1, first-1
	}
	t.Logf("%d entries; the kill fell into a step %d times", next-1, unheard)
}

// TestJournalTorn: if only a part of the last line reached the disk, that line is dropped and every line before it
// stays.
func TestJournalTorn(t *testing.T) {
	whole := append(formatLine([]byte("one")), formatLine([]byte("two"))...)
	last := formatLine([]byte(`{"event":"three"}`))
	for n := range last {
		dir := t.TempDir()
		path := filepath.Join(dir, journalName)
		gitsynctest.Must(t, os.WriteFile(path, slices.Concat(whole, last[:n]), 0o600))
		j := openJournal(t, dir)
		if got := entries(t, j); !slices.Equal(got, []string{"one", "two"}) {
			t.Fatalf("cut after %d bytes: %q", n, got)
		}
		if got := j.Torn(); !bytes.Equal(got, last[:n]) {
			t.Errorf("cut after %d bytes: torn is %q", n, got)
		}
		gitsynctest.Must(t, j.Append([]byte("four")))
		gitsynctest.Must(t, j.Close())
		if got := entries(t, openJournal(t, dir)); !slices.Equal(got, []string{"one", "two", "four"}) {
			t.Fatalf("cut after %d bytes, then appended: %q", n, got)
		}
	}
}

func TestJournalDamage(t *testing.T) {
	one, two := string(formatLine([]byte("one"))), string(formatLine([]byte("two")))
	tests := map[string]struct {
		file string
		line string // the line that the error names; empty: the journal opens with the entry "one"
	}{
		"last line lacks its middle":  {file: one + strings.Replace(two, "tw", "\x00\x00", 1)},
		"first line changed":          {file: strings.Replace(one, "one", "own", 1) + two, line: "line 1"},
		"a line in the middle is cut": {file: one + "0123\n" + two, line: "line 2"},
		"an empty line between":       {file: one + "\n" + two, line: "line 2"},
		"checksum in capitals":        {file: strings.ToUpper(one[:8]) + one[8:] + two, line: "line 1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, journalName)
			gitsynctest.Must(t, os.WriteFile(path, []byte(tc.file), 0o600))
			if tc.line == "" {
				if got := entries(t, openJournal(t, dir)); !slices.Equal(got, []string{"one"}) {
					t.Errorf("got %q", got)
				}
				return
			}
			_, err := Open(dir)
			gitsynctest.Failure(t, err, fault.Failed, "opening the journal in "+dir, tc.line, "fix the line")
			// The rejected file is neither changed nor locked.
			if b, err := os.ReadFile(path); err != nil || string(b) != tc.file {
				t.Errorf("the file is %q now, %v", b, err)
			}
			gitsynctest.Must(t, os.Remove(path))
			openJournal(t, dir)
		})
	}
}

func TestJournalQueue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "journal")
	j := openJournal(t, dir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
	reopen := func() {
		gitsynctest.Must(t, j.Close())
		j = openJournal(t, dir)
	}
	for _, e := range []string{"a", "", "c", "d"} {
		gitsynctest.Must(t, j.Append([]byte(e)))
	}
	reopen()
	gitsynctest.Must(t, j.Ack(0))
	gitsynctest.Must(t, j.Ack(2))
	gitsynctest.Must(t, j.Append([]byte("e")))
	if got := entries(t, j); !slices.Equal(got, []string{"c", "d", "e"}) {
		t.Errorf("got %q", got)
	}
	reopen()
	for _, n := range []int{-1, 4} {
		gitsynctest.Failure(t, j.Ack(n), fault.Failed, "acknowledging", fmt.Sprintf("%d entries of 3", n))
	}
	gitsynctest.Failure(t, j.Append([]byte("two\nlines")), fault.Failed, "an entry is one line")
	if got := entries(t, j); !slices.Equal(got, []string{"c", "d", "e"}) {
		t.Errorf("after a restart: %q", got)
	}
	gitsynctest.Must(t, j.Ack(3))
	reopen()
	if got := entries(t, j); len(got) != 0 {
		t.Errorf("after all is acknowledged: %q", got)
	}
	info, err := os.Stat(filepath.Join(dir, journalName))
	gitsynctest.Must(t, err)
	if info.Mode().Perm() != 0o600 || info.Size() != 0 {
		t.Errorf("the file has mode %v, %d bytes", info.Mode(), info.Size())
	}
}

// TestJournalKeepsItsOwn: the journal does not change when the caller modifies a slice that it passed.
func TestJournalKeepsItsOwn(t *testing.T) {
	j := openJournal(t, t.TempDir())
	e := []byte("entry")
	gitsynctest.Must(t, j.Append(e))
	e[0] = 'X'
	list, err := j.Entries()
	gitsynctest.Must(t, err)
	list[0][1] = 'X'
	if got := entries(t, j); got[0] != "entry" {
		t.Errorf("got %q", got)
	}
}

// TestJournalHeld: a second process gets an error that names the process that has the journal.
func TestJournalHeld(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	host, err := os.Hostname()
	gitsynctest.Must(t, err)
	_, err = Open(dir)
	gitsynctest.Failure(t, err, fault.Failed, fmt.Sprintf("is held by process %d on %s", os.Getpid(), host), "stop that one first")

	child := exec.CommandContext(t.Context(), os.Args[0], "1")
	child.Env = append(os.Environ(), journalChild+"="+dir)
	out, err := child.CombinedOutput()
	if err == nil || !strings.Contains(string(out), fmt.Sprintf("is held by process %d", os.Getpid())) {
		t.Errorf("another process: %v\n%s", err, out)
	}
	gitsynctest.Must(t, j.Close())
	openJournal(t, dir)
}

func TestJournalClosed(t *testing.T) {
	j := openJournal(t, t.TempDir())
	gitsynctest.Must(t, j.Close())
	gitsynctest.Must(t, j.Close())
	_, err := j.Entries()
	for _, err := range []error{err, j.Append([]byte("x")), j.Ack(0)} {
		gitsynctest.Failure(t, err, fault.Failed, "file already closed")
	}
}

// TestJournalWriteFails: a failed write changes nothing. After a write with an unknown outcome the journal accepts no
// other write.
func TestJournalWriteFails(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	gitsynctest.Must(t, j.Append([]byte("one")))
	good := j.file
	readOnly, err := os.Open(j.path())
	gitsynctest.Must(t, err)
	j.file = readOnly
	gitsynctest.Failure(t, j.Append([]byte("two")), fault.Failed, "writing the journal in "+dir)
	j.file = good
	gitsynctest.Failure(t, j.Append([]byte("three")), fault.Failed, "an earlier error left it in an unknown state")
	gitsynctest.Must(t, readOnly.Close())
	gitsynctest.Must(t, j.Close())
	if got := entries(t, openJournal(t, dir)); !slices.Equal(got, []string{"one"}) {
		t.Errorf("got %q", got)
	}
}

func TestJournalDirectoryErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	gitsynctest.Must(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(filepath.Join(file, "journal"))
	gitsynctest.Failure(t, err, fault.Invalid, "not a directory", "this user may write")
}

func BenchmarkJournalAppend(b *testing.B) {
	j := openJournal(b, b.TempDir())
	entry := entryOf(299)
	for b.Loop() {
		gitsynctest.Must(b, j.Append(entry))
	}
}

// TestJournalAckMovedAway: an Ack that cannot determine what the disk contains changes nothing in memory, and the next
// call reads the disk again.
func TestJournalAckMovedAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := openJournal(t, dir)
	for _, e := range []string{"one", "two"} {
		gitsynctest.Must(t, j.Append([]byte(e)))
	}
	gitsynctest.Must(t, os.Rename(dir, dir+".away"))
	gitsynctest.Failure(t, j.Ack(1), fault.Failed, "acknowledging the journal in "+dir, "no such file")
	if _, err := j.Entries(); err == nil {
		t.Error("the entries of a journal that is away are told")
	}
	gitsynctest.Must(t, os.Rename(dir+".away", dir))
	if got := entries(t, j); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("back again: %q", got)
	}
	gitsynctest.Must(t, j.Append([]byte("three")))
	gitsynctest.Must(t, j.Ack(1))
	gitsynctest.Must(t, j.Close())
	if got := entries(t, openJournal(t, dir)); !slices.Equal(got, []string{"two", "three"}) {
		t.Errorf("after a restart: %q", got)
	}
}
