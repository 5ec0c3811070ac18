package reconcile

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"strings"
	"sync"

	"certroll/spec"
)

// recordCache keeps the records that were read, by file, so that a look at a
// ledger of thousands costs what has changed since the last one. The records
// it hands out are shared: whoever changes one changes a copy.
type recordCache struct {
	mu   sync.Mutex
	seed maphash.Seed
	seen map[string]cachedRecord // nil: nothing yet
}

type cachedRecord struct {
	object string // that the tree has for the file, "" where it does not tell
	text   uint64 // its hash, where it was read
	record *Record
}

// readRecords reads all records of a tree.
func readRecords(tree fs.FS) (map[string]*Record, error) {
	return (&recordCache{}).read(tree)
}

func (c *recordCache) read(tree fs.FS) (map[string]*Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	records := map[string]*Record{}
	files, err := fs.ReadDir(tree, recordDir)
	if errors.Is(err, fs.ErrNotExist) {
		return records, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the ledger's records: %w", err)
	}
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
		records[one.record.Certificate] = one.record
	}
	return records, nil
}

// one is the record of a file, which is not read where the tree tells that it
// is the one of before, and not decoded where its text is.
func (c *recordCache) one(tree fs.FS, f fs.DirEntry, before cachedRecord) (cachedRecord, error) {
	one := cachedRecord{}
	if o, ok := f.(interface{ ObjectID() string }); ok {
		one.object = o.ObjectID()
	}
	if before.record != nil && one.object != "" && one.object == before.object {
		return before, nil
	}
	b, err := fs.ReadFile(tree, recordDir+"/"+f.Name())
	if err != nil {
		return one, fmt.Errorf("reading the ledger's %s: %w", f.Name(), err)
	}
	one.text = maphash.Bytes(c.seed, b)
	if before.record != nil && before.text == one.text {
		one.record = before.record
		return one, nil
	}
	if one.record, err = UnmarshalRecord(b); err != nil {
		return one, fmt.Errorf("%s/%s in the ledger: %w", recordDir, f.Name(), err)
	}
	// What is told of it goes into the file of its name: one that is elsewhere
	// would be told of for ever, and one that no file can have never.
	if name := one.record.Certificate; !spec.IsCertificateName(name) || name+".json" != f.Name() {
		return one, fmt.Errorf("%s/%s in the ledger: it is a record of %q, which does not belong there: somebody else wrote it, remove it", recordDir, f.Name(), name)
	}
	return one, nil
}
