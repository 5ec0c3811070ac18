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

// RecordCache caches the records by file, so that the cost of reading a ledger with
// thousands of records grows with the changed ones. Callers share the records that Read
// returns: copy a record before changing it.
//
// Anyone with push access to the ledger can write anything there. For an unreadable record
// Read uses its last readable version, so that garbage ends no back-off, and adds the
// damage to Lost.
type RecordCache struct {
	mu   sync.Mutex
	seed maphash.Seed
	seen map[string]cachedRecord // nil: nothing read yet
	// whole are the records of the last successful listing of the directory.
	whole map[string]*ledger.Record
	Lost  []Breach // damage found by the last read
	// earlier are the last readable versions of unreadable records, by key; nil: none
	// exists. unsearched are those that Mend has not searched in the history yet.
	earlier    map[string]*ledger.Record
	unsearched map[string]string // file, by key
	// vanished are the last versions of records that a Read no longer found. missing are
	// those that count although their files were deleted. Both are by certificate.
	vanished, missing map[string]*ledger.Record
	sought            bool // Mend has looked for records that were deleted before this process
	failed            failedSearch
}

// cachedRecord is the result of the last read of one file.
type cachedRecord struct {
	object  string // Git object of the file; "" if the tree does not report it
	text    uint64 // hash of the content, if it was read
	record  *ledger.Record
	problem string // why the file has no record
}

// ReadRecords reads all records of a tree.
func ReadRecords(tree fs.FS) (map[string]*ledger.Record, error) {
	return (&RecordCache{}).Read(tree)
}

// Read reads all records of a tree, by certificate. It skips records in a file of another
// name, see ledger.Record.Belongs.
func (c *RecordCache) Read(tree fs.FS) (map[string]*ledger.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Recomputed by each read: a file may have become readable again.
	c.Lost, c.unsearched = nil, map[string]string{}
	if c.missing == nil {
		c.vanished, c.missing = map[string]*ledger.Record{}, map[string]*ledger.Record{}
	}
	files, err := fs.ReadDir(tree, ledger.RecordDir)
	switch {
	case errors.Is(err, fs.ErrNotExist): // a new ledger, or the directory was deleted
	// Another program pushed a file over the directory. The last known records keep the back-offs
	// and holds in force; a process that has just started looks for them in the history.
	case err != nil && isNoDirectory(tree, ledger.RecordDir):
		c.lose(ledger.RecordDir, "it is no directory")
		if c.whole == nil {
			c.unsearched[ledger.RecordDir] = ledger.RecordDir
		}
		records := map[string]*ledger.Record{} // never nil: callers add to it
		maps.Copy(records, c.whole)
		return records, nil
	case err != nil:
		return nil, fmt.Errorf("listing the ledger's records: %w", err)
	}
	records := map[string]*ledger.Record{}
	before := c.seen
	// maphash is enough: the hash only detects a change between two reads of one process.
	if before == nil {
		c.seed = maphash.MakeSeed()
	}
	c.seen = make(map[string]cachedRecord, len(files))
	for _, f := range files {
		// A person may add other files, such as a README.
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
		// A record in another file, or with an impossible name, is not certroll's.
		if r.Belongs(f.Name()) {
			records[r.Certificate] = r
		}
	}
	c.noteVanished(records)
	// Callers change the map but not the records, so a copy of the map is enough.
	c.whole = records
	return maps.Clone(records), nil
}

func (c *RecordCache) lose(file, problem string) { c.Lost = Lose(c.Lost, file, 0, problem) }

// standIn returns the last readable version of an unreadable record: the one that this
// process read last, or the one that Mend found; nil if neither exists.
func (c *RecordCache) standIn(file string, one cachedRecord) *ledger.Record {
	// The key contains the content: new garbage in the same file is searched again, the
	// same garbage only once.
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

// Earlier is a ledger that gives access to its earlier trees.
type Earlier interface {
	// Earlier visits the trees before the head, the newest first, until visit returns false
	// or a bound is reached. The trees are readable until Earlier returns.
	Earlier(ctx context.Context, visit func(tree fs.FS) (more bool)) error
}

// readable stores the content of a file in an earlier tree, if it is readable.
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
	r := recordIn(tree, file)
	if r != nil {
		c.remember(key, r)
	}
	return r != nil
}

// Unreadable returns the damage that the last Read found.
func (c *RecordCache) Unreadable() []Breach {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.Lost)
}

// Restored returns the certificates whose record the recorder has to write again. It leaves
// out files of a newer certroll, which are not damaged.
func (c *RecordCache) Restored() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	// A newer certroll may have written a record with a higher schema. Writing the old
	// record again would destroy it.
	for file, one := range c.seen {
		name := strings.TrimSuffix(file, ".json")
		if one.problem != "" && !strings.Contains(one.problem, ledger.NewerSchema) && c.whole[name] != nil {
			names = append(names, name)
		}
	}
	return slices.AppendSeq(names, maps.Keys(c.missing))
}

// one returns the record of a file. It does not read the file if the tree reports the same
// object as before, and does not decode it if the content is the same. An error concerns
// the tree; damage of the file alone becomes the problem.
func (c *RecordCache) one(tree fs.FS, f fs.DirEntry, before cachedRecord) (cachedRecord, error) {
	one := cachedRecord{}
	if o, ok := f.(interface{ ObjectID() string }); ok {
		one.object = o.ObjectID()
	}
	// Git already identifies the content by the object, so equal objects need no read.
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
