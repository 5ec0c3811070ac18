package gitsync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"certroll/examples/lab"
)

// warnings counts the warnings of a cache.
type warnings struct{ n atomic.Int32 }

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		w.n.Add(1)
	}
	return nil
}
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w *warnings) WithGroup(string) slog.Handler      { return w }

// damages are the kinds of damage that a power loss, a bad disk or a person can do to a file.
var damages = map[string]func(path string, r *rand.Rand) error{
	"empty": func(path string, _ *rand.Rand) error { return os.WriteFile(path, nil, 0o600) },
	"cut": func(path string, r *rand.Rand) error {
		info, err := os.Stat(path)
		if err != nil || info.Size() == 0 {
			return err
		}
		return os.Truncate(path, r.Int64N(info.Size()))
	},
	"NUL": func(path string, _ *rand.Rand) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, make([]byte, info.Size()), 0o600)
	},
	"torn": func(path string, r *rand.Rand) error { // one sector has another's content
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			return err
		}
		at := r.IntN(len(b))
		for i := at; i < min(len(b), at+512); i++ {
			b[i] ^= byte(1 + r.IntN(255))
		}
		return os.WriteFile(path, b, 0o600)
	},
	"gone": func(path string, _ *rand.Rand) error { return os.Remove(path) },
	"a directory": func(path string, _ *rand.Rand) error {
		return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "below"), 0o700))
	},
}

// filesBelow lists all files of a directory.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, path)
			list = append(list, rel)
		}
		return err
	}))
	return list
}

// copyDir copies a directory, so that each damage starts from an intact one.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(from)))
	for _, f := range filesBelow(t, to) {
		must(t, os.Chmod(filepath.Join(to, f), 0o600)) // objects are read-only
	}
	return to
}

// TestAnyDamageOfALedgersCache damages each file of a ledger's cache in each way. The next Snapshot and the next Commit
// succeed with the right content, and a warning reports every repeated fetch.
func TestAnyDamageOfALedgersCache(t *testing.T) {
	t.Parallel()
	p := local(t)
	cache := t.TempDir()
	l := p.ledger(t, LedgerOptions{CacheDir: cache})
	commit(t, l, write(map[string]string{"certificates/a.json": strings.Repeat("a", 700), "STATUS.md": "one"}))
	must(t, l.Close())
	must(t, os.RemoveAll(cache)) // the next cache has a pack, and then loose objects
	l = p.ledger(t, LedgerOptions{CacheDir: cache})
	commit(t, l, write(map[string]string{"certificates/b.json": strings.Repeat("b", 700), "STATUS.md": "two"}))
	must(t, l.Close())
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's
	t.Logf("seed %d", seed)
	warned := 0
	for _, file := range filesBelow(t, cache) {
		for name, damage := range damages {
			dir := copyDir(t, cache)
			must(t, damage(filepath.Join(dir, file), r))
			warn := &warnings{}
			l := p.ledger(t, LedgerOptions{CacheDir: dir, Log: slog.New(warn)})
			tree, _, err := l.Snapshot(t.Context())
			if err != nil {
				t.Fatalf("%s %s: %v", file, name, err)
			}
			for path, want := range map[string]string{"certificates/a.json": "a", "certificates/b.json": "b", "STATUS.md": ""} {
				if b, err := fs.ReadFile(tree, path); err != nil || !strings.HasPrefix(string(b), strings.Repeat(want, 700)) {
					t.Errorf("%s %s: %s is %q, %v", file, name, path, b, err)
				}
			}
			commit(t, l, write(map[string]string{"STATUS.md": fmt.Sprint(file, name)}))
			must(t, l.Close())
			if warn.n.Load() > 0 {
				warned++
			}
		}
	}
	if warned < 20 {
		t.Errorf("%d damages were warned of", warned)
	}
}

// TestDamagedSizeInAPack: the size of a file in a cached pack is damaged to one above the limit. The source reports a
// damaged cache, not a large file.
func TestDamagedSizeInAPack(t *testing.T) {
	t.Parallel()
	p := local(t)
	l := p.ledger(t, LedgerOptions{})
	commit(t, l, write(map[string]string{"certificates/a.json": strings.Repeat("a", 700)}))
	must(t, l.Close())
	cache := filepath.Join(t.TempDir(), "[a]") // must not act as a glob pattern
	l = p.ledger(t, LedgerOptions{CacheDir: cache})
	_, _, err := l.Snapshot(t.Context())
	must(t, err)
	must(t, l.Close())
	packs := slices.DeleteFunc(filesBelow(t, cache), func(f string) bool { return !strings.HasSuffix(f, ".pack") })
	if len(packs) != 1 {
		t.Fatalf("the cache has the packs %v", packs)
	}
	packs[0] = filepath.Join(cache, packs[0])
	must(t, os.Chmod(packs[0], 0o600))
	pack, err := os.ReadFile(packs[0])
	must(t, err)
	list, err := lab.Git(t.Context(), t.TempDir(), "verify-pack", "-v", strings.TrimSuffix(packs[0], ".pack")+".idx")
	must(t, err)
	blob := regexp.MustCompile(`(?m)^[0-9a-f]{40} blob +700 \d+ (\d+)`).FindStringSubmatch(list)
	if blob == nil {
		t.Fatalf("no blob of 700 bytes in the pack:\n%s", list)
	}
	offset, err := strconv.Atoi(blob[1])
	must(t, err)
	copy(pack[offset:], []byte{0xbf, 0xff, 0xff, 0xff, 0x7f}) // a blob (3) of gigabytes: gitformat-pack(5)
	must(t, os.WriteFile(packs[0], pack, 0o600))
	warn := &warnings{}
	l = p.ledger(t, LedgerOptions{CacheDir: cache, Log: slog.New(warn)})
	defer func() { must(t, l.Close()) }()
	tree, _, err := l.Snapshot(t.Context())
	must(t, err)
	if b, err := fs.ReadFile(tree, "certificates/a.json"); err != nil || len(b) != 700 {
		t.Errorf("the file has %d bytes, %v", len(b), err)
	}
	if warn.n.Load() == 0 {
		t.Error("nothing was warned of")
	}
}

// cacheOf returns the directory of the only remote in a cache.
func cacheOf(t *testing.T, cache string) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(cache, "*"))
	must(t, err)
	if len(dirs) != 1 {
		t.Fatalf("%d remotes use the cache: %s", len(dirs), dirs)
	}
	return dirs[0]
}

// objectsIn returns the object directory of a cache with one remote.
func objectsIn(t *testing.T, cache string) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(cacheOf(t, cache), "*", "objects"))
	must(t, err)
	if len(dirs) != 1 {
		t.Fatalf("%d directories of objects: %s", len(dirs), dirs)
	}
	return dirs[0]
}

// TestDamageWhileALedgerIsOpen: an object becomes unreadable after the ledger opened its cache. Reads of that tree
// fail, and the next Snapshot or Commit fetches everything again.
func TestDamageWhileALedgerIsOpen(t *testing.T) {
	p := local(t)
	warn := &warnings{}
	cache := t.TempDir()
	l := p.ledger(t, LedgerOptions{CacheDir: cache, Log: slog.New(warn)})
	commit(t, l, write(map[string]string{"a.json": "a"}))
	spoil := func() {
		t.Helper()
		must(t, os.RemoveAll(objectsIn(t, cache)))
	}
	spoil()
	commit(t, l, appendLine("a.json", "b")) // the edit reads the file
	if n := warn.n.Load(); n != 1 {
		t.Errorf("%d warnings", n)
	}
	tree, _, err := l.Snapshot(t.Context())
	must(t, err)
	spoil()
	if _, err := fs.ReadFile(tree, "a.json"); err == nil || strings.Contains(err.Error(), "remote") {
		t.Errorf("got %v", err)
	}
	tree, _, err = l.Snapshot(t.Context())
	must(t, err)
	if b, err := fs.ReadFile(tree, "a.json"); err != nil || !strings.Contains(string(b), "b") {
		t.Errorf("got %q, %v", b, err)
	}
}

// TestAnyDamageOfASourcesCache is TestAnyDamageOfALedgersCache for a source.
func TestAnyDamageOfASourcesCache(t *testing.T) {
	p := transports["http"](t)
	p.push(t, "main", map[string]string{"a.hcl": strings.Repeat("a", 700), "below/b.hcl": "b"})
	cache := t.TempDir()
	s := p.source(t, SourceOptions{Ref: "main", CacheDir: cache})
	want := contents(fetch(t, s))
	must(t, s.Close())
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's
	t.Logf("seed %d", seed)
	for _, file := range filesBelow(t, cache) {
		for name, damage := range damages {
			dir := copyDir(t, cache)
			must(t, damage(filepath.Join(dir, file), r))
			s := p.source(t, SourceOptions{Ref: "main", CacheDir: dir})
			rev, err := s.Fetch(t.Context())
			if err != nil || contents(rev) != want {
				t.Errorf("%s %s: %v", file, name, err)
			}
			must(t, s.Close())
		}
	}
}

// TestCacheThatTakesNothing: when the disk accepts no object, for example because it is full, ledger and source work
// without their caches and do not blame the remote. A file in place of the directory stands for the full disk.
func TestCacheThatTakesNothing(t *testing.T) {
	p := transports["http"](t)
	p.push(t, "main", map[string]string{"a.hcl": "1"})
	blocked := func(cache string) {
		t.Helper()
		dir := objectsIn(t, cache)
		must(t, os.RemoveAll(dir))
		must(t, os.WriteFile(dir, nil, 0o600))
	}
	cache := t.TempDir()
	warn := &warnings{}
	s := p.source(t, SourceOptions{Ref: "main", CacheDir: cache, Log: slog.New(warn)})
	blocked(cache)
	if got := contents(fetch(t, s)); got != "a.hcl=1" || warn.n.Load() != 1 {
		t.Errorf("got %s with %d warnings", got, warn.n.Load())
	}
	cache = t.TempDir()
	l := p.ledger(t, LedgerOptions{CacheDir: cache, Log: slog.New(warn)})
	blocked(cache)
	commit(t, l, write(map[string]string{"a.json": "1"}))
	commit(t, l, write(map[string]string{"a.json": "2"}))
	tree, _, err := l.Snapshot(t.Context())
	must(t, err)
	if got, err := fs.ReadFile(tree, "a.json"); err != nil || string(got) != "2" {
		t.Errorf("got %s, %v", got, err)
	}
}
