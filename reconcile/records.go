package reconcile

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"strings"
	"sync"
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
	text   uint64 // its hash
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
		b, err := fs.ReadFile(tree, recordDir+"/"+f.Name())
		if err != nil {
			return nil, fmt.Errorf("reading the ledger's %s: %w", f.Name(), err)
		}
		one := cachedRecord{text: maphash.Bytes(c.seed, b), record: before[f.Name()].record}
		if one.record == nil || before[f.Name()].text != one.text {
			if one.record, err = UnmarshalRecord(b); err != nil {
				return nil, fmt.Errorf("%s/%s in the ledger: %w", recordDir, f.Name(), err)
			}
		}
		c.seen[f.Name()] = one
		records[one.record.Certificate] = one.record
	}
	return records, nil
}
