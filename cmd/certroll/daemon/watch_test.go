package daemon

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"certroll/gitsync/atomicfile"
)

// TestWatch: the watcher reports a file that is written, replaced by a rename, or reached through a replaced symbolic
// link, as in Kubernetes.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, "one"), 0o700))
	must(os.Mkdir(filepath.Join(dir, "two"), 0o700))
	must(os.Symlink("one", filepath.Join(dir, "data")))
	must(os.WriteFile(file, []byte("first"), 0o600))
	w, err := newWatch(slog.New(slog.DiscardHandler))
	must(err)
	defer w.Close()
	w.follow([]string{file}, "")
	aside := filepath.Join(filepath.Dir(dir), "aside")
	for name, change := range map[string]func(){
		"written":  func() { must(os.WriteFile(file, []byte("second"), 0o600)) },
		"replaced": func() { must(atomicfile.Write(file, []byte("third"), 0o600)) },
		"swapped": func() {
			must(os.Symlink("two", filepath.Join(dir, "data.new")))
			must(os.Rename(filepath.Join(dir, "data.new"), filepath.Join(dir, "data")))
		},
		"in another directory of that name": func() {
			must(os.Rename(dir, aside))
			select { // the rename itself is reported
			case <-w.changed:
			case <-time.After(2 * settle):
			}
			must(os.Mkdir(dir, 0o700))
			w.follow([]string{file}, "")
			must(os.WriteFile(file, []byte("fourth"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			change()
			select {
			case <-w.changed:
			case <-time.After(30 * time.Second):
				t.Error("it is not told")
			}
		})
	}
}

// TestWatchBesideAnUnreadableDirectory: an unreadable directory is named once, and the others are watched.
func TestWatchBesideAnUnreadableDirectory(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	must(os.MkdirAll(filepath.Join(root, "z", "deep"), 0o700))
	// Not even root can read a path that is longer than the kernel permits.
	t.Chdir(root)
	name := strings.Repeat("a", 250)
	for range 20 {
		must(os.Mkdir(name, 0o700))
		must(os.Chdir(name)) //nolint:usetesting // t.Chdir takes no path of this length
	}
	t.Chdir("/")
	var log bytes.Buffer
	w, err := newWatch(slog.New(slog.NewTextHandler(&log, nil)))
	must(err)
	defer w.Close()
	for range 3 {
		w.follow(nil, root)
	}
	if n := strings.Count(log.String(), "cannot watch a directory"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	must(os.WriteFile(filepath.Join(root, "z", "deep", "a.hcl"), []byte("changed"), 0o600))
	select {
	case <-w.changed:
	case <-time.After(30 * time.Second):
		t.Error("a change beside it is not told")
	}
}
