package objects

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"certroll/gitsync/gitsynctest"
	"certroll/gitsync/packfile"
)

// generations returns the generations on disk.
func generations(t *testing.T, s *Store) []int {
	t.Helper()
	entries, err := os.ReadDir(s.base)
	gitsynctest.Must(t, err)
	var list []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

// TestOldGenerationsGo: saving a generation removes the older ones that no Snapshot's tree reads any more. The previous
// saved generation stays, even if fetches failed in between.
func TestOldGenerationsGo(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		t.Helper()
		s, err := Open(dir, LedgerPurpose, "https://git.example.com/a.git", packfile.Bounds{}, nil)
		gitsynctest.Must(t, err)
		return s
	}
	expect := func(s *Store, when string, want ...int) {
		t.Helper()
		if got := generations(t, s); !slices.Equal(got, want) {
			t.Errorf("%s: there are generations %v, want %v", when, got, want)
		}
	}
	s := open()
	gitsynctest.Must(t, s.save())
	expect(s, "the first", 1)
	for n := 2; n < 6; n++ {
		gitsynctest.Must(t, s.Renew())
		gitsynctest.Must(t, s.save())
		gitsynctest.Must(t, s.save())
		expect(s, "renewed", n-1, n)
	}
	// Fetches into two new generations failed: neither was saved, and trees of generation 5 are in use.
	for range 3 {
		gitsynctest.Must(t, s.Renew())
	}
	expect(s, "unsaved", 4, 5, 6, 7, 8)
	gitsynctest.Must(t, s.save())
	expect(s, "saved after failures", 5, 7, 8)
	gitsynctest.Must(t, s.Close())
	s = open()
	if got := generations(t, s); len(got) > 2 || !slices.Contains(got, s.State.Generation) {
		t.Errorf("after a restart: %v", got)
	}
	if _, err := os.Stat(filepath.Join(s.base, "state.json")); err != nil {
		t.Error(err)
	}
	gitsynctest.Must(t, s.Close())
}
