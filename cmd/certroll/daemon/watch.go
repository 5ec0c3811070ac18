package daemon

import (
	"errors"
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

// settle is how long a directory must be quiet before a nudge: a writer makes several
// changes.
const settle = 200 * time.Millisecond

// watch reports changes of credential files and of the config directory. It watches
// directories, since most writers replace a file, as Kubernetes does with a symbolic
// link beside it.
type watch struct {
	changed chan struct{}
	notify  *fsnotify.Watcher
	log     *slog.Logger
	done    chan struct{}
	blind   map[string]bool // directories that could not be watched, already logged
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

// follow sets the watched directories: those of files, and the tree below root if given.
// A removed directory drops out, and comes back with the next call after its
// re-creation.
func (w *watch) follow(files []string, root string) {
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[filepath.Dir(f)] = true
	}
	if root != "" {
		w.addTree(wanted, filepath.Clean(root))
	}
	for _, dir := range w.notify.WatchList() {
		if !wanted[dir] {
			_ = w.notify.Remove(dir) // it may just have been removed
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(wanted)) {
		// Add leaves a directory that is already watched as it is.
		w.watched(dir, w.notify.Add(dir))
	}
}

// watched warns once about a directory that cannot be watched.
func (w *watch) watched(dir string, err error) {
	if err != nil && !w.blind[dir] {
		w.log.Warn("cannot watch a directory; certroll reads its changes with the next pull", "directory", dir, "error", err)
	}
	w.blind[dir] = err != nil
}

// mostWatched bounds the watched directories of a config directory. The next pull sees
// changes in the others.
const mostWatched = 4096

// addTree adds the directories below root, without hidden ones. It passes over what it cannot
// read, with a warning: the other directories are watched all the same.
func (w *watch) addTree(wanted map[string]bool, root string) {
	_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case len(wanted) >= mostWatched:
			return fs.SkipAll
		case err != nil:
			if !errors.Is(err, fs.ErrNotExist) {
				delete(wanted, path)
				w.watched(path, err)
			}
			return nil
		case !e.IsDir():
			return nil
		case path != root && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		}
		wanted[path] = true
		return nil
	})
}

// listen nudges the loop once events have been quiet for settle.
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

// nudge wakes the loop.
func (w *watch) nudge() {
	select {
	case w.changed <- struct{}{}:
	default: // a nudge is already pending
	}
}

// credentialFiles returns the files that a spec's references name.
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
