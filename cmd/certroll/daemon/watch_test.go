package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"certroll/gitsync/atomicfile"
)

// TestWatch: a file that is written, replaced by a rename, or reached by a
// symbolic link that is swapped, as Kubernetes does, is told.
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
			select { // the move itself is told
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
