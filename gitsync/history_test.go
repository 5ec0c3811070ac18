package gitsync

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

// objectOf returns the object ID of an entry of a tree, or "" for a missing entry.
func objectOf(t *testing.T, tree fs.FS, dir, name string) string {
	t.Helper()
	entries, err := fs.ReadDir(tree, dir)
	must(t, err)
	for _, e := range entries {
		if e.Name() == name {
			return e.(interface{ ObjectID() string }).ObjectID()
		}
	}
	return ""
}

func TestLedgerWalk(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		l := p.ledger(t, LedgerOptions{Directory: "status"})
		must(t, l.Walk(t.Context(), func(string, []string, fs.FS) error { return errors.New("there is nothing to visit") }))
		var made []string
		for n := range 4 {
			made = append(made, commit(t, l, appendLine("audit/log", fmt.Sprint(n))))
		}
		made = append(made, p.push(t, "certroll/status", map[string]string{"elsewhere": "x"}))
		var visited, objects []string
		must(t, p.ledger(t, LedgerOptions{Directory: "status"}).Walk(t.Context(), func(commit string, parents []string, tree fs.FS) error {
			b, err := fs.ReadFile(tree, "audit/log")
			must(t, err)
			want := "0\n1\n2\n3\n"[:2*min(4, len(made)-len(visited))]
			if string(b) != want {
				t.Errorf("commit %s has %q, want %q", commit, b, want)
			}
			if n := len(made) - len(visited); n > 1 && (len(parents) != 1 || parents[0] != made[n-2]) || n == 1 && len(parents) != 0 {
				t.Errorf("commit %d has the parents %v", n, parents)
			}
			visited = append(visited, commit)
			if id := objectOf(t, tree, "audit", "log"); id != p.git(t, "rev-parse", commit+":status/audit/log") {
				t.Errorf("audit/log is %s", id)
			}
			objects = append(objects, objectOf(t, tree, ".", "audit"))
			return nil
		}))
		slices.Reverse(made)
		if !slices.Equal(visited, made) {
			t.Errorf("visited %v, want %v", visited, made)
		}
		if objects[0] != objects[1] || objects[1] == objects[2] {
			t.Errorf("the directory's objects are %v", objects)
		}
	})
}

func TestLedgerWalkErrors(t *testing.T) {
	p := local(t)
	l := p.ledger(t, LedgerOptions{})
	commit(t, l, appendLine("log", "one"))
	commit(t, l, appendLine("log", "two"))
	n := 0
	err := l.Walk(t.Context(), func(string, []string, fs.FS) error { n++; return errEdit })
	if !errors.Is(err, errEdit) || n != 1 {
		t.Errorf("after %d commits: %v", n, err)
	}
	// The history of a shallow remote is incomplete, and the error names the ledger's branch.
	shallow := t.TempDir() + "/shallow.git"
	p.git(t, "clone", "-q", "--bare", "--depth=1", "--branch=certroll/status", "file://"+p.path, shallow)
	cut := place{url: shallow, path: shallow}.ledger(t, LedgerOptions{})
	err = cut.Walk(t.Context(), func(string, []string, fs.FS) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "reading the history of the ledger certroll/status") {
		t.Errorf("got %v", err)
	}
}

// TestLedgerRewoundBeside: while one process has the cache, a second process still knows the head that the first one
// saw.
func TestLedgerRewoundBeside(t *testing.T) {
	p := local(t)
	o := LedgerOptions{CacheDir: t.TempDir()}
	daemon := p.ledger(t, o)
	first := commit(t, daemon, appendLine("log", "one"))
	last := commit(t, daemon, appendLine("log", "two"))
	beside := p.ledger(t, o)
	snapshot(t, beside)
	if old, now, ok := beside.Rewound(); ok {
		t.Errorf("nothing happened, and Rewound says %s, %s", old, now)
	}
	p.git(t, "update-ref", "refs/heads/certroll/status", first)
	beside = p.ledger(t, o)
	snapshot(t, beside)
	if old, now, ok := beside.Rewound(); !ok || old != last || now != first {
		t.Errorf("Rewound: %s, %s, %v", old, now, ok)
	}
}
