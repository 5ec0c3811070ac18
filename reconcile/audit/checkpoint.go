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

// Anchor keeps, where no push reaches, how far the ledger had come.
type Anchor interface {
	// Load returns what is kept, nil for nothing, and the version that Store
	// is to follow.
	Load(ctx context.Context) (fields map[string]string, version int, err error)
	// Store replaces it. Its error has Conflict() true where another did since.
	Store(ctx context.Context, fields map[string]string, version int) error
}

// A ledger may tell whether its branch goes on from a commit.
type descender interface {
	// Descends speaks of the branch as it was seen last.
	Descends(ctx context.Context, commit string) (bool, error)
}

// Mark is how far a ledger had come: its head, and the end of its audit log.
type Mark struct {
	Head   string
	Events int    // lines of the whole audit log
	File   string // that holds the last of them; "" where there is none
	Line   int    // its number there
	Hash   string // as the prev of a next one has it
	At     time.Time
	// Nonce is told to nobody but Vault. What derives from it cannot be put into
	// a ledger beforehand.
	Nonce string
}

// Fields are the mark as Vault keeps it.
func (m *Mark) Fields() map[string]string {
	return map[string]string{
		"head": m.Head, "events": strconv.Itoa(m.Events), "file": m.File, "line": strconv.Itoa(m.Line), "hash": m.Hash,
		"at": m.At.UTC().Format(time.RFC3339), "nonce": m.Nonce,
	}
}

// MarkOf reads what Fields wrote; nil for nothing.
func MarkOf(fields map[string]string) (*Mark, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	m := &Mark{Head: fields["head"], File: fields["file"], Hash: fields["hash"], Nonce: fields["nonce"]}
	var errs [3]error
	m.Events, errs[0] = strconv.Atoi(fields["events"])
	m.Line, errs[1] = strconv.Atoi(fields["line"])
	m.At, errs[2] = time.Parse(time.RFC3339, fields["at"])
	if err := errors.Join(errs[:]...); err != nil || m.Head == "" || m.Nonce == "" {
		return nil, ErrNotOurs
	}
	return m, nil
}

// ErrNotOurs is of a secret that something other than certroll wrote.
var ErrNotOurs = errors.New("is not in certroll's format; find out who writes there, then delete it: certroll creates a new one")

// Foreign says of which secret an error is.
func Foreign(what string, at Anchor, err error) error {
	if named, ok := at.(fmt.Stringer); ok {
		what += " at " + named.String()
	}
	return fmt.Errorf("the %s %w", what, err)
}

// Surveyor makes marks. It remembers how many lines the files have that do not
// change any more, which are all but the newest.
type Surveyor struct {
	mu    sync.Mutex
	Lines map[string]int // by the file's object
}

// Mark is how far the ledger at a head has come.
func (s *Surveyor) Mark(tree fs.FS, head string) (*Mark, error) {
	files, err := archive.AuditFiles(tree)
	if err != nil {
		return nil, err
	}
	m := &Mark{Head: head}
	objects := map[string]string{}
	for _, name := range files {
		if _, ok := objects[name]; !ok {
			objectsIn(tree, name[:strings.LastIndexByte(name, '/')], objects)
		}
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

// count is how many lines a file has, without reading it where that is known.
func (s *Surveyor) count(tree fs.FS, name, object string, read bool) (int, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.Lines[object]; ok && object != "" && !read {
		return n, nil, nil
	}
	body, err := fs.ReadFile(tree, name)
	if errors.Is(err, fs.ErrInvalid) {
		return 0, nil, nil // it has no lines that anybody can read
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

// linesOf are the lines of an audit file.
func linesOf(b []byte) [][]byte {
	if b = bytes.TrimRight(b, "\n"); len(b) == 0 {
		return nil
	}
	return bytes.Split(b, []byte("\n"))
}

// Astray lists how a ledger that has come to now does not go on from where it
// was anchored; nothing: it does.
func (m *Mark) Astray(ctx context.Context, now *Mark, tree fs.FS, ledger ledger.Ledger) ([]archive.Breach, error) {
	if m == nil || m.Head == now.Head {
		return nil, nil
	}
	var found []archive.Breach
	// A ledger that cannot tell is held against its log alone.
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

// Anchored says where and when the mark was stored.
func (m *Mark) Anchored() string { return "anchored in Vault at " + m.At.UTC().Format(time.RFC3339) }

// lostProblem begins what is said of a head that is gone.
const lostProblem = "the branch does not go on from the head that was "

func (m *Mark) lost(now *Mark) archive.Breach {
	f := archive.Breach{Commit: now.Head, Problem: lostProblem + m.Anchored(),
		Expected: "a head that descends from commit " + m.Head, Seen: "commit " + now.Head + ", which does not"}
	if now.Head == "" {
		f.Seen = "no branch"
	}
	return f
}

// otherLine tells of a line at the anchored place that is another one.
func (m *Mark) otherLine(now *Mark, tree fs.FS) ([]archive.Breach, error) {
	if m.File == "" {
		return nil, nil
	}
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

// VerifyAnchor holds a ledger against its anchor; kept is false where nothing
// is anchored yet.
func VerifyAnchor(ctx context.Context, anchor Anchor, ledger ledger.Ledger) (found []archive.Breach, kept bool, err error) {
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

// WithoutLost leaves out that the anchored head is gone, for who has said so.
func WithoutLost(found []archive.Breach) []archive.Breach {
	return slices.DeleteFunc(found, func(f archive.Breach) bool { return strings.HasPrefix(f.Problem, lostProblem) })
}
