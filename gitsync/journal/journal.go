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

// Journal is a durable queue of lines on the local disk. What Append returned
// from is on the disk; what Ack returned from is gone for good.
//
// The file has one entry a line, behind the CRC-32C of its bytes in eight
// hexadecimal digits and a space, so that a line half written when the machine
// stopped is told from one that somebody changed.
type Journal struct {
	mu      sync.Mutex
	dir     string
	lock    *filelock.Lock
	file    *os.File
	size    int64 // of what is whole in file
	entries [][]byte
	torn    []byte
	broken  error // set where nobody can say what is on the disk
}

const journalName = "journal"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Open opens the journal in dir, which it makes where it is missing.
// One process has it at a time. A last line that a crash cut short, which no
// Append returned from, is dropped; see Torn. Any other damage is an error.
func Open(dir string) (*Journal, error) {
	doing := "opening the journal in " + dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &fault.Error{Kind: fault.Invalid, Doing: doing, Detail: fault.Reason(err), Advice: fault.DiskAdvice(err), Err: err}
	}
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
			Advice: "look at " + j.path() + ": each line is an event that is not pushed yet; mend the line, or move the file away"}
	}
	return j, nil
}

func (j *Journal) path() string { return filepath.Join(j.dir, journalName) }

// load reads the file and cuts off a torn end.
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
	if err = errors.Join(err, atomicfile.SyncDir(j.dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// read fills entries and torn.
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
			// Blocks of one write reach the disk in any order: the last line
			// may have its end and lack its middle.
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

func formatLine(entry []byte) []byte {
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(entry, castagnoli), entry)
}

func parseLine(line []byte) ([]byte, bool) {
	entry, found := bytes.CutSuffix(line, []byte("\n"))
	if !found || len(entry) < 9 {
		return nil, false
	}
	entry = entry[9:]
	return entry, bytes.Equal(formatLine(entry), line)
}

// cutBack makes the file what is whole of it.
func (j *Journal) cutBack() error {
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	return j.file.Sync()
}

// Torn is the cut-off line that Open dropped; nil where there was none.
func (j *Journal) Torn() []byte { return slices.Clone(j.torn) }

// Append adds an entry, which is on the disk when it returns. It must not
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
	_, err := j.file.WriteAt(line, j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		// Not written is not written: what is there of it must not turn up
		// at the next start.
		if undo := j.cutBack(); undo != nil {
			j.broken = errors.Join(err, undo)
		}
		return j.failed("writing", err)
	}
	j.size += int64(len(line))
	j.entries = append(j.entries, bytes.Clone(entry))
	return nil
}

// checkSize is what Check writes: more than many events together.
const checkSize = 64 << 10

// Check tells whether the disk takes what Append may be asked for next, as far as
// that can be known: it writes as much, and removes it again.
func (j *Journal) Check() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	f, err := os.CreateTemp(j.dir, "."+journalName+"-*") // which the next start sweeps away
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

// Entries are all that were not acknowledged, the oldest first.
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

// Ack forgets the first n entries. After a crash either all of them are gone
// or none.
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
	if err := atomicfile.Write(j.path(), rest, 0o600); err != nil {
		if !j.inPlace() {
			j.broken = err
		}
		return j.failed("acknowledging", err)
	}
	j.entries = slices.Clone(j.entries[n:])
	j.size = int64(len(rest))
	f, err := os.OpenFile(j.path(), os.O_RDWR, 0o600)
	if err != nil {
		j.broken = err
		return j.failed("acknowledging", err)
	}
	old := j.file
	j.file = f
	return old.Close()
}

// inPlace reports whether the open file is still the one under the name, so
// that a failed Ack changed nothing.
func (j *Journal) inPlace() bool {
	open, err := j.file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(j.path())
	return err == nil && os.SameFile(open, named)
}

func (j *Journal) usable() error {
	switch {
	case j.file == nil:
		return j.failed("using", os.ErrClosed)
	case j.broken != nil:
		return j.failed("using", fmt.Errorf("an earlier error left it in an unknown state: %w", j.broken))
	}
	return nil
}

func (j *Journal) failed(what string, err error) error {
	return &fault.Error{Kind: fault.Failed, Doing: what + " the journal in " + j.dir, Detail: fault.Reason(err), Advice: fault.DiskAdvice(err), Err: err}
}

// Close lets another process have the journal.
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
