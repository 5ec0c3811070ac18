package objects

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"certroll/gitsync/filelock"
	"certroll/gitsync/gitsynctest"
	"certroll/gitsync/packfile"
)

// TestScratchIsSwept: creating a temporary directory removes the directories of killed processes, and none that another
// live process may own.
func TestScratchIsSwept(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	host, err := os.Hostname()
	gitsynctest.Must(t, err)
	plant := func(name, lock, text string) {
		t.Helper()
		dir := filepath.Join(tmp, name)
		gitsynctest.Must(t, os.Mkdir(dir, 0o700))
		if lock != "" {
			gitsynctest.Must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, lock)), 0o700))
			gitsynctest.Must(t, os.WriteFile(filepath.Join(dir, lock), []byte(text), 0o600))
		}
	}
	killed := fmt.Sprintf("process 999999 on %s\n", host)
	plant("certroll-git-killed", "lock", killed)
	plant("certroll-history-killed", "history-0123/lock", killed)
	plant("certroll-git-new", "", "")          // not locked yet
	plant("certroll-git-unsigned", "lock", "") // possibly being locked right now
	plant("certroll-git-elsewhere", "lock", "process 1 on another-host\n")
	plant("certroll-git-open", "lock", killed)
	gitsynctest.Must(t, os.Chmod(filepath.Join(tmp, "certroll-git-open"), 0o777)) // others can write into it
	plant("certroll-other", "lock", killed)
	plant("certroll-git-held", "lock", "")
	held, err := filelock.Take(filepath.Join(tmp, "certroll-git-held", "lock"))
	gitsynctest.Must(t, err)
	plant("target", "lock", killed)
	gitsynctest.Must(t, os.Symlink(filepath.Join(tmp, "target"), filepath.Join(tmp, "certroll-git-link")))

	memory, err := Open("", "", "", packfile.Bounds{}, nil)
	gitsynctest.Must(t, err)
	first, second := memory.OnDisk(packfile.Bounds{}), memory.OnDisk(packfile.Bounds{})
	for _, s := range []*Store{first, second} {
		if _, err := os.Stat(s.base); err != nil || s.base == "" {
			t.Errorf("a live directory: %v", err)
		}
	}
	for name, stays := range map[string]bool{
		"certroll-git-killed": false, "certroll-history-killed": false,
		"certroll-git-new": true, "certroll-git-unsigned": true, "certroll-git-elsewhere": true, "certroll-git-open": true, "certroll-other": true,
		"certroll-git-held": true, "certroll-git-link": true, "target": true,
	} {
		_, err := os.Stat(filepath.Join(tmp, name))
		if errors.Is(err, fs.ErrNotExist) == stays {
			t.Errorf("%s: %v", name, err)
		}
	}
	gitsynctest.Must(t, held.Release())
	history, err := HistoryDir()
	gitsynctest.Must(t, err)
	if _, err := os.Stat(filepath.Join(tmp, "certroll-git-held")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory whose holder has ended: %v", err)
	}
	gitsynctest.Must(t, os.Remove(history))
	gitsynctest.Must(t, errors.Join(first.Close(), second.Close()))
}
