package archive

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"certroll/reconcile/ledger"
)

// RecordCache keeps the records that were read, by file, so that a look at a
// ledger of thousands costs what has changed since the last one. The records
// it hands out are shared: whoever changes one changes a copy.
//
// Whoever may push to the ledger can put anything there. A record that cannot be
// read stops nobody: its last readable version stands in for it, so that garbage
// ends no back-off, and lost names it.
type RecordCache struct {
	mu   sync.Mutex
	seed maphash.Seed
	seen map[string]cachedRecord // nil: nothing yet
	// whole are the records of the last time that the directory could be read.
	whole map[string]*ledger.Record
	Lost  []Breach // what could not be read the last time
	// earlier are the last readable versions of what cannot be read, by key; nil:
	// there is none. What is in unsearched was not looked for in the history yet.
	earlier    map[string]*ledger.Record
	unsearched map[string]string // file, by key
}

type cachedRecord struct {
	object  string // that the tree has for the file, "" where it does not tell
	text    uint64 // its hash, where it was read
	record  *ledger.Record
	problem string // why there is none
}

// ReadRecords reads all records of a tree.
func ReadRecords(tree fs.FS) (map[string]*ledger.Record, error) {
	return (&RecordCache{}).Read(tree)
}

func (c *RecordCache) Read(tree fs.FS) (map[string]*ledger.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Lost, c.unsearched = nil, map[string]string{}
	files, err := fs.ReadDir(tree, ledger.RecordDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return map[string]*ledger.Record{}, nil
	case err != nil && isNoDirectory(tree, ledger.RecordDir):
		c.lose(ledger.RecordDir, "it is no directory")
		if c.whole == nil {
			c.unsearched[ledger.RecordDir] = ledger.RecordDir
		}
		return maps.Clone(c.whole), nil
	case err != nil:
		return nil, fmt.Errorf("listing the ledger's records: %w", err)
	}
	records := map[string]*ledger.Record{}
	before := c.seen
	if before == nil {
		c.seed = maphash.MakeSeed()
	}
	c.seen = make(map[string]cachedRecord, len(files))
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		one, err := c.one(tree, f, before[f.Name()])
		if err != nil {
			return nil, err
		}
		c.seen[f.Name()] = one
		r := one.record
		if one.problem != "" {
			c.lose(ledger.RecordDir+"/"+f.Name(), one.problem)
			r = c.standIn(f.Name(), one)
		}
		if r.Belongs(f.Name()) {
			records[r.Certificate] = r
		}
	}
	c.whole = records
	return maps.Clone(records), nil
}

func (c *RecordCache) lose(file, problem string) { c.Lost = Lose(c.Lost, file, 0, problem) }

// standIn is the last readable version of a record that cannot be read: what
// this process read last, or what mend found; nil where neither has one.
func (c *RecordCache) standIn(file string, one cachedRecord) *ledger.Record {
	key := fmt.Sprintf("%s %s %x", file, one.object, one.text)
	r, searched := c.earlier[key]
	if searched {
		return r
	}
	if r = c.whole[strings.TrimSuffix(file, ".json")]; r != nil {
		c.remember(key, r)
	} else {
		c.unsearched[key] = ledger.RecordDir + "/" + file
	}
	return r
}

func (c *RecordCache) remember(key string, r *ledger.Record) {
	if c.earlier == nil {
		c.earlier = map[string]*ledger.Record{}
	}
	c.earlier[key] = r
}

// Earlier is a ledger that can show what it was before.
type Earlier interface {
	// Earlier visits the trees before the head's, the newest first, until visit has
	// seen enough or a bound is reached. They can be read until it returns.
	Earlier(ctx context.Context, visit func(tree fs.FS) (more bool)) error
}

// Mend looks in the ledger's history for the last readable versions of what the
// last read could not read, once for each. found is whether there are any.
func (c *RecordCache) Mend(ctx context.Context, past Earlier) (found bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.unsearched) == 0 || past == nil {
		return false, nil
	}
	left := maps.Clone(c.unsearched)
	err = past.Earlier(ctx, func(tree fs.FS) bool {
		for key, file := range left {
			if c.readable(tree, key, file) {
				found = true
				delete(left, key)
			}
		}
		return len(left) > 0
	})
	if err != nil {
		return found, fmt.Errorf("looking for the last readable version of %s in the ledger's history: %w", slices.Sorted(maps.Values(left)), err)
	}
	for key, file := range left {
		if file == ledger.RecordDir {
			c.whole = map[string]*ledger.Record{}
		}
		c.remember(key, nil)
	}
	return found, nil
}

// readable keeps what a file of an earlier tree says, where that can be read.
func (c *RecordCache) readable(tree fs.FS, key, file string) bool {
	if file == ledger.RecordDir {
		var then RecordCache
		records, err := then.Read(tree)
		if err != nil || len(records) == 0 {
			return false
		}
		c.whole = records
		return true
	}
	b, err := fs.ReadFile(tree, file)
	if err != nil {
		return false
	}
	r, err := ledger.UnmarshalRecord(b)
	if err != nil || !r.Belongs(file[len(ledger.RecordDir)+1:]) {
		return false
	}
	c.remember(key, r)
	return true
}

// Unreadable is what the last read could not read.
func (c *RecordCache) Unreadable() []Breach {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.Lost)
}

// Restored are the certificates whose records are to be written again as they
// were: what is in their place is none of any certroll's.
func (c *RecordCache) Restored() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for file, one := range c.seen {
		name := strings.TrimSuffix(file, ".json")
		if one.problem != "" && !strings.Contains(one.problem, ledger.NewerSchema) && c.whole[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// one is the record of a file, which is not read where the tree tells that it
// is the one of before, and not decoded where its text is. An error is the
// tree's; what is wrong with the file alone is the problem.
func (c *RecordCache) one(tree fs.FS, f fs.DirEntry, before cachedRecord) (cachedRecord, error) {
	one := cachedRecord{}
	if o, ok := f.(interface{ ObjectID() string }); ok {
		one.object = o.ObjectID()
	}
	if before.record != nil && one.object != "" && one.object == before.object {
		return before, nil
	}
	if f.IsDir() {
		one.problem = "a directory is in its place"
		return one, nil
	}
	b, err := fs.ReadFile(tree, ledger.RecordDir+"/"+f.Name())
	if errors.Is(err, fs.ErrInvalid) {
		one.problem = err.Error()
		return one, nil
	}
	if err != nil {
		return one, fmt.Errorf("reading the ledger's %s: %w", f.Name(), err)
	}
	one.text = maphash.Bytes(c.seed, b)
	if before.record != nil && before.text == one.text {
		one.record = before.record
		return one, nil
	}
	if one.record, err = ledger.UnmarshalRecord(b); err != nil {
		one.record, one.problem = nil, err.Error()
	}
	return one, nil
}
