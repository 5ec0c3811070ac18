package objects

import (
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"certroll/gitsync/packfile"
)

// countingDB counts the objects read.
type countingDB struct {
	storer.Storer
	reads int
}

func (c *countingDB) EncodedObject(kind plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	c.reads++
	return c.Storer.EncodedObject(kind, h)
}

// TestReadOneOfMany: reading one of ten thousand files does not read the others.
func TestReadOneOfMany(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{}
	for n := range 10_000 {
		files[fmt.Sprintf("certificates/c%05d.json", n)] = fmt.Append(nil, n)
	}
	s, err := Open("", "", "", packfile.Bounds{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := ChangesOf(files, "")
	if err != nil {
		t.Fatal(err)
	}
	e := &Editor{From: s.DB}
	root, err := e.Apply(plumbing.ZeroHash, changes)
	if err == nil {
		err = s.put(e.News)
	}
	if err != nil {
		t.Fatal(err)
	}
	counting := &countingDB{Storer: s.DB.db}
	s.DB.db = counting
	tree := NewTreeFS(s.DB, root, time.Time{})
	if b, err := fs.ReadFile(tree, "certificates/c04711.json"); err != nil || string(b) != "4711" {
		t.Fatalf("got %q, %v", b, err)
	}
	if counting.reads != 3 { // root, directory, file
		t.Errorf("it took %d objects", counting.reads)
	}
}
