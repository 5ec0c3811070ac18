package archive

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/ledger"
)

// A record that another program deleted counts as its last version, like an unreadable one:
// otherwise a push that deletes files would end back-offs. certroll itself deletes no record.
//
// The evidence is the audit log: it has a recent attempt for the certificate, and the record
// is not there. A back-off has an event at least once a week, so older attempts do not
// matter. A file that a person removes and that certroll never wrote stays removed.

// deletedRecord is the problem of a deleted record.
const deletedRecord = "it was deleted; its last version counts"

// noteVanished compares the listing with the last one, and adds the last versions of missing
// records to records.
func (c *RecordCache) noteVanished(records map[string]*ledger.Record) {
	listed := func(name string, _ *ledger.Record) bool { _, ok := c.seen[name+".json"]; return ok }
	for name, r := range c.whole {
		if c.missing[name] == nil {
			c.vanished[name] = r
		}
	}
	maps.DeleteFunc(c.vanished, listed)
	maps.DeleteFunc(c.missing, listed)
	for _, name := range slices.Sorted(maps.Keys(c.missing)) {
		records[name] = c.missing[name]
		if len(c.Lost) < MostFindings {
			c.Lost = append(c.Lost, Breach{File: ledger.RecordFile(name), Problem: deletedRecord, Expected: "what certroll wrote there", Seen: "no file",
				version: c.missing[name].UpdatedAt.UTC().Format(time.RFC3339Nano)})
		}
	}
}

// miss records that a deleted record counts as r; false for the record of a retired
// certificate, which a person may remove.
func (c *RecordCache) miss(name string, r *ledger.Record) bool {
	if r.State == ledger.StateRetired {
		return false
	}
	c.missing[name] = r
	return true
}

// seekMissing finds the records that the last Read missed. It returns the names that only
// the ledger's history can have.
func (c *RecordCache) seekMissing(tree fs.FS, now time.Time) (unknown []string, found bool, err error) {
	if c.seen == nil || c.sought && len(c.vanished) == 0 {
		return nil, false, nil
	}
	attempted, err := recentlyAttempted(tree, now)
	if err != nil {
		return nil, false, err
	}
	for name, r := range c.vanished {
		if attempted[name] && c.miss(name, r) {
			found = true
		}
	}
	known := c.vanished
	c.vanished = map[string]*ledger.Record{}
	if c.sought {
		return nil, found, nil
	}
	for name := range attempted {
		_, listed := c.seen[name+".json"]
		if !listed && known[name] == nil && c.missing[name] == nil {
			unknown = append(unknown, name)
		}
	}
	return unknown, found, nil
}

// seekEarlier looks for missing records in one earlier tree, and drops the found ones from
// left, by file name. It lists the directory, so that its cost does not grow with the names
// that a forged log has.
func (c *RecordCache) seekEarlier(tree fs.FS, left map[string]bool) (found bool) {
	if len(left) == 0 {
		return false
	}
	files, err := fs.ReadDir(tree, ledger.RecordDir)
	if err != nil {
		return false
	}
	for _, f := range files {
		if !left[f.Name()] {
			continue
		}
		if r := recordIn(tree, ledger.RecordDir+"/"+f.Name()); r != nil {
			delete(left, f.Name())
			found = c.miss(r.Certificate, r) || found
		}
	}
	return found
}

// recordIn returns the record in a file of a tree; nil if it is unreadable.
func recordIn(tree fs.FS, file string) *ledger.Record {
	b, err := fs.ReadFile(tree, file)
	if err != nil {
		return nil
	}
	r, err := ledger.UnmarshalRecord(b)
	if err != nil || !r.Belongs(strings.TrimPrefix(file, ledger.RecordDir+"/")) {
		return nil
	}
	return r
}

// recentlyAttempted returns the certificates whose last recent event of an attempt says that
// they have a record.
func recentlyAttempted(tree fs.FS, now time.Time) (map[string]bool, error) {
	attempted := map[string]bool{}
	err := Since(tree, now.Add(-HistorySpan), func(e ledger.Event) bool {
		if _, seen := attempted[e.Certificate]; !seen && e.Certificate != "" && isAttempt(e.Operation) {
			attempted[e.Certificate] = e.Operation != ledger.KindRetire || e.Status != ledger.Success
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("looking for deleted records: %w", err)
	}
	maps.DeleteFunc(attempted, func(_ string, has bool) bool { return !has })
	return attempted, nil
}

// isAttempt reports whether each event of this operation comes with a record.
func isAttempt(k ledger.Kind) bool {
	return k.Orders() || k == ledger.KindAdopt || k == ledger.KindRepair || k == ledger.KindRetire || k == ledger.KindStage
}

// failedSearch is the last search of the history, if it failed. The next pass must not fetch
// the whole history again.
type failedSearch struct {
	err  error // nil: the last search succeeded
	at   time.Time
	wait time.Duration // until the next search
	of   []string      // what it looked for
}

// The wait after a failed search doubles from the first to the last: a short outage of Git
// must not leave a back-off without its record for long.
const (
	firstSearchWait = time.Minute
	lastSearchWait  = time.Hour
)

// holds reports whether it is too early for another search for the same or fewer records.
func (f failedSearch) holds(now time.Time, of []string) bool {
	fresh := func(one string) bool { return !slices.Contains(f.of, one) }
	return f.err != nil && now.Sub(f.at).Abs() < f.wait && !slices.ContainsFunc(of, fresh)
}

// Mend searches the ledger's history for the last readable versions of records that the
// last Read of tree could not read, once for each content, and of records that were deleted
// before this process began. found reports whether it found any. past may be nil. After a
// failed search Mend returns its error without another search, at most for an hour.
func (c *RecordCache) Mend(ctx context.Context, tree fs.FS, past Earlier, now time.Time) (found bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unknown, found, err := c.seekMissing(tree, now)
	if err != nil || past == nil {
		return found, err
	}
	missing := map[string]bool{}
	for _, name := range unknown {
		missing[name+".json"] = true
	}
	if len(c.unsearched)+len(missing) == 0 {
		c.sought = c.seen != nil
		return found, nil
	}
	left := maps.Clone(c.unsearched)
	of := slices.Concat(slices.Collect(maps.Keys(left)), unknown)
	if c.failed.holds(now, of) {
		return found, c.failed.err
	}
	err = past.Earlier(ctx, func(tree fs.FS) bool {
		for key, file := range left {
			if c.readable(tree, key, file) {
				found = true
				delete(left, key)
			}
		}
		found = c.seekEarlier(tree, missing) || found
		return len(left)+len(missing) > 0
	})
	if err != nil {
		files := slices.Sorted(maps.Values(left))
		if len(files) == 0 {
			files = []string{ledger.RecordDir}
		}
		err = fmt.Errorf("looking for the last readable version of %s in the ledger's history: %w", files, err)
		c.failed = failedSearch{err, now, min(max(2*c.failed.wait, firstSearchWait), lastSearchWait), of}
		return found, err
	}
	c.failed, c.sought = failedSearch{}, c.seen != nil
	// No readable version exists. Remember that too, or every read would search again.
	for key, file := range left {
		if file == ledger.RecordDir {
			c.whole = map[string]*ledger.Record{}
		}
		c.remember(key, nil)
	}
	return found, nil
}
