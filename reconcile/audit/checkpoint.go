package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
)

// Anchor stores the checkpoint outside the ledger, where push access does not reach.
type Anchor interface {
	// Load returns the stored fields, nil for none, and the version to pass to Store.
	Load(ctx context.Context) (fields map[string]string, version int, err error)
	// Store replaces the fields. If another writer came first, its error has Conflict()
	// true.
	Store(ctx context.Context, fields map[string]string, version int) error
}

// descender is a ledger that can check the ancestry of its branch.
type descender interface {
	// Descends reports whether the last fetched head descends from a commit.
	Descends(ctx context.Context, commit string) (bool, error)
}

// Mark is a position of the ledger: its head and the end of its audit log.
type Mark struct {
	Head   string
	Events int    // lines in the whole audit log
	File   string // file of the last line; "": no lines
	Line   int    // number of the last line in File
	Hash   string // of the last line, as in the prev of the next one
	At     time.Time
	// Nonce is random and stored only in Vault. A value derived from it cannot be written
	// into a ledger in advance.
	Nonce string
}

// Fields encodes the mark for Vault.
func (m *Mark) Fields() map[string]string {
	return map[string]string{
		"head": m.Head, "events": strconv.Itoa(m.Events), "file": m.File, "line": strconv.Itoa(m.Line), "hash": m.Hash,
		"at": m.At.UTC().Format(time.RFC3339), "nonce": m.Nonce,
	}
}

// MarkOf decodes the result of Fields; nil for none.
func MarkOf(fields map[string]string) (*Mark, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	m := &Mark{Head: fields["head"], File: fields["file"], Hash: fields["hash"], Nonce: fields["nonce"]}
	var errs [3]error
	m.Events, errs[0] = strconv.Atoi(fields["events"])
	m.Line, errs[1] = strconv.Atoi(fields["line"])
	m.At, errs[2] = time.Parse(time.RFC3339, fields["at"])
	// A checkpoint without head or nonce would prove nothing.
	if err := errors.Join(errs[:]...); err != nil || m.Head == "" || m.Nonce == "" {
		return nil, ErrNotOurs
	}
	return m, nil
}

// ErrNotOurs is the error about a secret that another program wrote.
var ErrNotOurs = errors.New("is not in certroll's format; find out who writes there, then delete it: certroll creates a new one")

// Foreign adds the object and its Vault path to an error.
func Foreign(what string, at Anchor, err error) error {
	// An operator needs the path of the secret.
	if named, ok := at.(fmt.Stringer); ok {
		what += " at " + named.String()
	}
	return fmt.Errorf("the %s %w", what, err)
}

// Surveyor computes marks. It caches the number of lines of all files but the newest, which
// alone still grows.
type Surveyor struct {
	mu    sync.Mutex
	Lines map[string]int // by Git object of the file
}

// Mark returns the position of the ledger at a head.
func (s *Surveyor) Mark(tree fs.FS, head string) (*Mark, error) {
	files, err := archive.AuditFiles(tree)
	if err != nil {
		return nil, err
	}
	m := &Mark{Head: head}
	objects := map[string]string{}
	for _, name := range files {
		// Directory listings report the Git objects without reading the files.
		if _, ok := objects[name]; !ok {
			objectsIn(tree, name[:strings.LastIndexByte(name, '/')], objects)
		}
		// The newest file grows between two marks, so its count is never cached.
		newest := name == files[len(files)-1]
		n, body, err := s.count(tree, name, objects[name], newest)
		if err != nil {
			return nil, err
		}
		m.Events += n
		if newest && n > 0 {
			m.File, m.Line, m.Hash = name, n, ledger.LineHash(archive.LastLine(body))
		}
	}
	return m, nil
}

// count returns the number of lines in a file. It skips reading a file with a cached count.
func (s *Surveyor) count(tree fs.FS, name, object string, read bool) (int, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.Lines[object]; ok && object != "" && !read {
		return n, nil, nil
	}
	body, err := fs.ReadFile(tree, name)
	if errors.Is(err, fs.ErrInvalid) {
		return 0, nil, nil // too large; archive.Unreadable reports it
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading the ledger's %s: %w", name, err)
	}
	n := len(linesOf(body))
	if object != "" && !read {
		if s.Lines == nil {
			s.Lines = map[string]int{}
		}
		s.Lines[object] = n
	}
	return n, body, nil
}

// linesOf splits an audit file into lines.
func linesOf(b []byte) [][]byte {
	if b = bytes.TrimRight(b, "\n"); len(b) == 0 {
		return nil
	}
	return bytes.Split(b, []byte("\n"))
}

// Astray returns the breaches between a checkpoint m and the current position now; none if
// the ledger descends from the checkpoint.
func (m *Mark) Astray(ctx context.Context, now *Mark, tree fs.FS, ledger ledger.Ledger) ([]archive.Breach, error) {
	if m == nil || m.Head == now.Head {
		return nil, nil
	}
	var found []archive.Breach
	// For a ledger without ancestry, the audit log alone has to prove it.
	if d, ok := ledger.(descender); ok || now.Head == "" {
		goesOn := false
		if now.Head != "" {
			var err error
			if goesOn, err = d.Descends(ctx, m.Head); err != nil {
				return nil, err
			}
		}
		if !goesOn {
			found = append(found, m.lost(now))
		}
	}
	// A branch may descend from the checkpoint and still have deleted lines in a later
	// commit.
	if now.Events < m.Events {
		found = append(found, archive.Breach{Commit: now.Head, Problem: "the audit log has fewer events than when it was " + m.Anchored(),
			Expected: fmt.Sprintf("%d events or more", m.Events), Seen: fmt.Sprintf("%d", now.Events)})
	}
	f, err := m.otherLine(now, tree)
	if err != nil {
		return nil, err
	}
	return append(found, f...), nil
}

// Anchored describes the place and time of the checkpoint.
func (m *Mark) Anchored() string { return "anchored in Vault at " + m.At.UTC().Format(time.RFC3339) }

// lostProblem begins the finding about a head that the branch does not descend from.
const lostProblem = "the branch does not go on from the head that was "

func (m *Mark) lost(now *Mark) archive.Breach {
	f := archive.Breach{Commit: now.Head, Problem: lostProblem + m.Anchored(),
		Expected: "a head that descends from commit " + m.Head, Seen: "commit " + now.Head + ", which does not"}
	if now.Head == "" {
		f.Seen = "no branch"
	}
	return f
}

// otherLine returns a breach if the line at the checkpoint's position has another hash.
func (m *Mark) otherLine(now *Mark, tree fs.FS) ([]archive.Breach, error) {
	if m.File == "" {
		return nil, nil
	}
	// A missing file has no line at that position, and is a breach like a changed one.
	body, err := fs.ReadFile(tree, m.File)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
		return nil, fmt.Errorf("reading the ledger's %s: %w", m.File, err)
	}
	f := archive.Breach{Commit: now.Head, File: m.File, Line: m.Line, Problem: "another line is where the last one was when the log was " + m.Anchored(),
		Expected: "a line of hash " + m.Hash, Seen: "no such line"}
	if lines := linesOf(body); len(lines) >= m.Line {
		is := ledger.LineHash(lines[m.Line-1])
		if is == m.Hash {
			return nil, nil
		}
		f.Seen = "hash " + is
	}
	return []archive.Breach{f}, nil
}

// VerifyAnchor compares a ledger with its checkpoint; kept is false if Vault has none yet.
func VerifyAnchor(ctx context.Context, anchor Anchor, ledger ledger.Ledger) (found []archive.Breach, stored bool, err error) {
	fields, _, err := anchor.Load(ctx)
	if err != nil {
		return nil, false, err
	}
	m, err := MarkOf(fields)
	if err != nil {
		return nil, false, Foreign("checkpoint", anchor, err)
	}
	if m == nil {
		return nil, false, nil
	}
	tree, head, err := ledger.Snapshot(ctx)
	if err != nil {
		return nil, true, err
	}
	now, err := (&Surveyor{}).Mark(tree, head)
	if err != nil {
		return nil, true, err
	}
	found, err = m.Astray(ctx, now, tree, ledger)
	return found, true, err
}

// WithoutLost removes the finding about the lost head, once a person has accepted the loss.
func WithoutLost(found []archive.Breach) []archive.Breach {
	return slices.DeleteFunc(found, func(f archive.Breach) bool { return strings.HasPrefix(f.Problem, lostProblem) })
}
