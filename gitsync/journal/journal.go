package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"certroll/gitsync/atomicfile"
	"certroll/gitsync/fault"
	"certroll/gitsync/filelock"
)

// Journal is a durable queue of lines on the local disk. An entry is on the disk when
// Append returns nil, and gone for good when Ack returns nil.
//
// The file has one entry per line: the CRC-32C of the entry in eight hexadecimal digits, a
// space, the entry. The checksum separates a line that a crash cut short from a line that a
// person edited.
type Journal struct {
	mu      sync.Mutex
	dir     string
	lock    *filelock.Lock
	file    *os.File
	size    int64 // bytes of whole lines in file
	entries [][]byte
	torn    []byte
	broken  error // set when the content of the disk is unknown; every later call fails
	// replaced is set while another file stands at path, which could not be opened yet.
	replaced bool
}

const journalName = "journal"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Open opens the journal in dir, and creates dir if it is missing. One process can open it
// at a time. Open drops a last line that a crash cut short, because Append had not returned
// for it; see Torn. Any other damage is an error: dropping the line would lose an event.
func Open(dir string) (*Journal, error) {
	doing := "opening the journal in " + dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: fault.Reason(err), Advice: fault.DiskAdvice(err), Err: err}
	}
	// Lock before load: load truncates a torn line, and that line may be a write of another
	// process.
	lock, err := filelock.Take(filepath.Join(dir, "lock"))
	var held *filelock.HeldError
	if errors.As(err, &held) {
		return nil, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: "it " + held.Holder(), Advice: "a certroll run that is up applies by itself, and certroll retry works beside it; stop that one first, or give each its own state directory", Err: err}
	}
	if err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: err.Error(), Advice: fault.DiskAdvice(err), Err: err}
	}
	j := &Journal{dir: dir, lock: lock}
	if err := j.load(); err != nil {
		_ = lock.Release()
		if errors.As(err, new(*fs.PathError)) {
			return nil, &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: err.Error(), Advice: fault.DiskAdvice(err), Err: err}
		}
		return nil, &fault.Error{Kind: fault.Failed, Doing: doing, Detail: err.Error(), Err: err,
			Advice: "look at " + j.path() + ": each line is an event that is not pushed yet; fix the line, or move the file away"}
	}
	return j, nil
}

func (j *Journal) path() string { return filepath.Join(j.dir, journalName) }

// load reads the file and cuts off a torn last line.
func (j *Journal) load() error {
	atomicfile.Sweep(j.path())
	f, err := os.OpenFile(j.path(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	j.file = f
	if err := j.read(); err != nil {
		return errors.Join(err, f.Close())
	}
	if len(j.torn) > 0 {
		err = j.cutBack()
	}
	// The file may be new: its name must be on the disk before the first Append returns.
	if err = errors.Join(err, atomicfile.SyncDir(j.dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// read fills entries, size and torn.
func (j *Journal) read() error {
	r := bufio.NewReader(j.file)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			j.torn = line
			return nil
		}
		if err != nil {
			return err
		}
		entry, ok := parseLine(line)
		if !ok {
			// A torn line can end in a newline: the disk writes the blocks of one write in
			// any order, so the end may be there without the middle. Only the last line can
			// be torn.
			if _, err := r.Peek(1); err == io.EOF {
				j.torn = line
				return nil
			}
			return fmt.Errorf("line %d is damaged: its checksum does not match", n)
		}
		j.entries = append(j.entries, entry)
		j.size += int64(len(line))
	}
}

// formatLine returns the line of an entry, with checksum and newline.
func formatLine(entry []byte) []byte {
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(entry, castagnoli), entry)
}

// parseLine returns the entry of a line; false if the line is damaged.
func parseLine(line []byte) ([]byte, bool) {
	entry, found := bytes.CutSuffix(line, []byte("\n"))
	if !found || len(entry) < 9 {
		return nil, false
	}
	entry = entry[9:]
	// Formatting the entry again also rejects an upper-case checksum and a wrong separator.
	return entry, bytes.Equal(formatLine(entry), line)
}

// cutBack truncates the file to its whole lines.
func (j *Journal) cutBack() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	return j.file.Sync()
}

// Torn returns the torn line that Open dropped; nil if there was none.
func (j *Journal) Torn() []byte { return slices.Clone(j.torn) }

// Append adds an entry. When it returns nil, the entry is on the disk. The entry must not
// contain a newline.
func (j *Journal) Append(entry []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	if bytes.IndexByte(entry, '\n') >= 0 {
		return j.failed("writing", errors.New("an entry is one line and this one has several"))
	}
	line := formatLine(entry)
	// At j.size, not at the end: the rest of a failed write is overwritten.
	_, err := j.file.WriteAt(line, j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		// The caller takes the event for not recorded: no part of the line may turn up at
		// the next start. If the truncation fails as well, the content of the disk is
		// unknown.
		if undo := j.cutBack(); undo != nil {
			j.broken = errors.Join(err, undo)
		}
		return j.failed("writing", err)
	}
	j.size += int64(len(line))
	j.entries = append(j.entries, bytes.Clone(entry))
	return nil
}

// checkSize is the number of bytes that Check writes: more than the events of one attempt
// take together.
const checkSize = 64 << 10

// Check reports whether the disk has room for the next Append calls. It writes checkSize
// bytes and removes them again. It cannot reserve the room: the answer may be outdated when
// Append runs.
func (j *Journal) Check() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	f, err := os.CreateTemp(j.dir, "."+journalName+"-*") // Sweep removes it after a crash
	if err != nil {
		return j.failed("writing", err)
	}
	_, err = f.Write(make([]byte, checkSize))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return j.failed("writing", err)
	}
	return nil
}

// Entries returns copies of all entries that Ack has not removed, the oldest first.
func (j *Journal) Entries() ([][]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return nil, err
	}
	list := make([][]byte, len(j.entries))
	for i, e := range j.entries {
		list[i] = bytes.Clone(e)
	}
	return list, nil
}

// Ack removes the first n entries. After a crash or an error either all n are gone or none
// is; Entries tells.
func (j *Journal) Ack(n int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	if n < 0 || n > len(j.entries) {
		return j.failed("acknowledging", fmt.Errorf("%d entries of %d", n, len(j.entries)))
	}
	if n == 0 {
		return nil
	}
	var rest []byte
	for _, e := range j.entries[n:] {
		rest = append(rest, formatLine(e)...)
	}
	err := atomicfile.Write(j.path(), rest, 0o600)
	if err != nil && j.inPlace() {
		return j.failed("acknowledging", err)
	}
	// The rename happened, perhaps even before an error: j.file is the replaced file, and an
	// Append to it would be lost.
	if err = errors.Join(err, j.reopen()); err != nil {
		return j.failed("acknowledging", err)
	}
	return nil
}

// reopen reads the file at path, which an Ack has put in the place of the open one. If it
// cannot, the next call tries again.
func (j *Journal) reopen() error {
	j.replaced = true
	f, err := os.OpenFile(j.path(), os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	now := Journal{dir: j.dir, file: f}
	err = now.read()
	if err == nil && len(now.torn) > 0 {
		err = now.cutBack()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	_ = j.file.Close() // all that was written to it was synced
	j.file, j.size, j.entries, j.replaced = f, now.size, now.entries, false
	return nil
}

// inPlace reports whether path still names the open file, which means that the failed Ack
// changed nothing.
func (j *Journal) inPlace() bool {
	open, err := j.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(j.path())
	return err == nil && os.SameFile(open, named)
}

// usable returns an error after Close, and after a failure that left the disk in an unknown
// state.
func (j *Journal) usable() error {
	switch {
	case j.file == nil:
		return j.failed("using", os.ErrClosed)
	case j.broken != nil:
		return j.failed("using", fmt.Errorf("an earlier error left it in an unknown state: %w", j.broken))
	case j.replaced:
		if err := j.reopen(); err != nil {
			return j.failed("opening", err)
		}
	}
	return nil
}

func (j *Journal) failed(what string, err error) error {
	return &fault.Error{Kind: fault.Failed, Doing: what + " the journal in " + j.dir, Detail: fault.Reason(err), Advice: fault.DiskAdvice(err), Err: err}
}

// Close closes the journal and releases the lock.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Close(), j.lock.Release())
	j.file = nil
	return err
}
