package daemon

import (
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"certroll/spec"
)

// settle is how long a directory has to be still before it is looked at: a
// writer makes several changes.
const settle = 200 * time.Millisecond

// watch tells when one of the files that credentials are read from changes, or
// the config directory. It watches directories, since a file is mostly replaced
// by another, as Kubernetes does with a symbolic link beside it.
type watch struct {
	changed chan struct{}
	notify  *fsnotify.Watcher
	log     *slog.Logger
	done    chan struct{}
	blind   map[string]bool // directories that could not be watched, as was said
}

func newWatch(log *slog.Logger) (*watch, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &watch{changed: make(chan struct{}, 1), notify: notify, log: log, done: make(chan struct{}), blind: map[string]bool{}}
	go w.listen()
	return w, nil
}

// Close ends the watch.
func (w *watch) Close() {
	_ = w.notify.Close()
	<-w.done
}

// follow watches the directories of these files from now on, and those below
// root where one is given, and no others. A directory that was removed is not
// watched any more, and is again once there is another in its place.
func (w *watch) follow(files []string, root string) {
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[filepath.Dir(f)] = true
	}
	if root != "" {
		addTree(wanted, filepath.Clean(root))
	}
	for _, dir := range w.notify.WatchList() {
		if !wanted[dir] {
			_ = w.notify.Remove(dir) // or it is gone just now
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(wanted)) {
		// One that is watched already is looked up anew, and stays as it is.
		err := w.notify.Add(dir)
		if err != nil && !w.blind[dir] {
			w.log.Warn("cannot watch a directory; certroll reads its changes with the next pull", "directory", dir, "error", err)
		}
		w.blind[dir] = err != nil
	}
}

// mostWatched bounds how many directories of a config directory are watched:
// the rest is seen with the next pull.
const mostWatched = 4096

func addTree(wanted map[string]bool, root string) {
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || len(wanted) >= mostWatched:
			return fs.SkipAll // what cannot be read is told by who reads it
		case !e.IsDir():
			return nil
		case path != root && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		}
		wanted[path] = true
		return nil
	})
}

func (w *watch) listen() {
	defer close(w.done)
	timer := time.NewTimer(settle)
	timer.Stop()
	for {
		select {
		case _, ok := <-w.notify.Events:
			if !ok {
				timer.Stop()
				return
			}
			timer.Reset(settle)
		case err, ok := <-w.notify.Errors:
			if ok {
				w.log.Warn("could not watch the credential files; certroll reads changes with the next pull", "error", err)
			}
		case <-timer.C:
			w.nudge()
		}
	}
}

// nudge has the loop look again.
func (w *watch) nudge() {
	select {
	case w.changed <- struct{}{}:
	default: // it is told already
	}
}

// credentialFiles are the files that a spec's references lead to.
func credentialFiles(desired *spec.Spec) []string {
	var files []string
	add := func(v spec.Value) {
		if v.Source == spec.FromFile {
			files = append(files, v.Path)
		}
	}
	for _, account := range desired.DNS {
		for _, v := range account.Credentials {
			add(v)
		}
	}
	for _, issuer := range desired.Issuers {
		if issuer.EAB != nil {
			add(issuer.EAB.KeyID)
			add(issuer.EAB.HMAC)
		}
	}
	return files
}
