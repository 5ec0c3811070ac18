package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"certroll/reconcile/archive"
	"certroll/reconcile/ledger"
)

// Past is the ledger's branch with its complete history.
type Past interface {
	// Walk calls visit with the commits from the head to the root along first parents. The
	// trees are readable until it returns. Entries with the same ObjectID() have the same
	// content.
	Walk(ctx context.Context, visit func(commit string, parents []string, tree fs.FS) error) error
}

// Trail is the result of verifying the audit log.
type Trail struct {
	Events, Files, Commits int
	Head                   string // "": no branch
	Findings               []archive.Breach
	More                   int // number of findings that are not listed
}

// find adds a finding, or only counts it after MostFindings.
func (t *Trail) find(f archive.Breach) {
	if len(t.Findings) == archive.MostFindings {
		t.More++
		return
	}
	t.Findings = append(t.Findings, f)
}

// VerifyTrail checks that each line of the audit log is an event with the hash of the line
// before it, and that each commit only appended: it has one parent, and its audit files
// begin with the bytes of the parent's files. merges permits several parents, for a branch
// that people commit to as well.
//
// VerifyTrail cannot detect a branch that someone with push access rewrote completely, with
// a new chain. Only an independent copy of an earlier head shows that: the checkpoint in
// Vault, or a clone.
func VerifyTrail(ctx context.Context, past Past, merges bool) (*Trail, error) {
	v := &verifier{merges: merges, grown: map[string][]growth{}, trail: &Trail{}}
	if err := past.Walk(ctx, v.visit); err != nil {
		return nil, err
	}
	v.settle(nil) // the root has no parent to compare with
	if v.head == nil {
		return v.trail, nil
	}
	if err := v.chain(); err != nil {
		return nil, err
	}
	// compare reports the newest commit first, and chain the first line first.
	slices.SortStableFunc(v.trail.Findings, func(a, b archive.Breach) int { return cmp.Compare(a.File, b.File) })
	return v.trail, nil
}

// verifier walks backward through the history. It compares each commit with its child,
// whose files have to begin with the commit's own.
//
//	root ── ... ── parent ── child ── ... ── head
//	               visited   v.child         v.head
type verifier struct {
	merges bool
	trail  *Trail
	head   *pastCommit // its files are in memory
	child  *pastCommit
	grown  map[string][]growth // by file, the newest first
}

// pastCommit is the audit log at one commit.
type pastCommit struct {
	id    string
	audit string // Git object of the directory; "" if unknown
	files map[string]pastFile
}

// pastFile is one audit file at one commit. Files with the same id have the same content.
type pastFile struct {
	id   string
	read func() ([]byte, error)
}

// growth records that a commit added the content of a file from an offset on.
type growth struct {
	commit string
	from   int
}

// visit checks one commit. The first call is the head.
func (v *verifier) visit(commit string, parents []string, tree fs.FS) error {
	v.trail.Commits++
	if v.head == nil {
		v.trail.Head = commit
	}
	if len(parents) > 1 && !v.merges {
		v.trail.find(archive.Breach{Commit: commit, Problem: "a merge: certroll only ever adds one commit to another",
			Expected: "one parent", Seen: fmt.Sprintf("%d parents: %s", len(parents), strings.Join(parents, " "))})
	}
	// A commit that changes no event leaves the object of the directory, and needs no read.
	audit := objectOf(tree, ledger.AuditDir)
	if v.child != nil && audit != "" && audit == v.child.audit {
		v.child.id = commit // the child did not change the log
		return nil
	}
	p := &pastCommit{id: commit, audit: audit}
	var err error
	if p.files, err = pastFiles(tree); err != nil {
		return fmt.Errorf("commit %s: %w", commit, err)
	}
	// Only the head's damage counts as unreadable: earlier damage shows as a rewritten
	// file.
	if v.head == nil {
		v.head = p
		err = errors.Join(v.unreadable(tree), p.readAll())
	} else {
		err = v.compare(p)
	}
	if err != nil {
		return fmt.Errorf("commit %s: %w", commit, err)
	}
	v.child = p
	return nil
}

// unreadable reports the unreadable files of the head. chain reports lines that are no
// events.
func (v *verifier) unreadable(tree fs.FS) error {
	lost, err := archive.Unreadable(tree)
	for _, f := range lost {
		if f.Line == 0 {
			f.Commit = v.trail.Head
			v.trail.find(f)
		}
	}
	return err
}

// readAll reads all files into memory, because the tree is readable only during visit.
func (p *pastCommit) readAll() error {
	for _, f := range p.files {
		if _, err := f.read(); err != nil {
			return err
		}
	}
	return nil
}

// compare checks that the child only appended to its parent's files.
func (v *verifier) compare(parent *pastCommit) error {
	// Sorted, so that the findings have the same order in every run.
	for _, name := range slices.Sorted(maps.Keys(parent.files)) {
		before := parent.files[name]
		after, ok := v.child.files[name]
		switch {
		case !ok:
			v.trail.find(archive.Breach{Commit: v.child.id, File: name, Problem: "the file was removed",
				Expected: "what commit " + parent.id + " has there, and perhaps more", Seen: "no such file"})
			continue
		case before.id == after.id:
			continue
		}
		old, err := before.read()
		if err != nil {
			return err
		}
		now, err := after.read()
		if err != nil {
			return err
		}
		// A rewritten file belongs to the child from the first changed line on.
		from := len(old)
		if !bytes.HasPrefix(now, old) {
			from = parting(old, now)
			v.trail.find(rewritten(v.child.id, name, parent.id, old, now, from))
		}
		v.grown[name] = append(v.grown[name], growth{v.child.id, from})
	}
	v.settle(parent.files)
	return nil
}

// settle records the files that the child added.
func (v *verifier) settle(before map[string]pastFile) {
	if v.child == nil {
		return
	}
	for name := range v.child.files {
		if _, ok := before[name]; !ok {
			v.grown[name] = append(v.grown[name], growth{v.child.id, 0})
		}
	}
}

// parting returns the offset of the first line that differs between two versions of a file.
func parting(old, now []byte) int {
	at := 0
	for at < min(len(old), len(now)) && old[at] == now[at] {
		at++
	}
	return bytes.LastIndexByte(old[:at], '\n') + 1
}

func rewritten(commit, file, parent string, old, now []byte, from int) archive.Breach {
	return archive.Breach{
		Commit: commit, File: file, Line: 1 + bytes.Count(old[:from], []byte("\n")),
		Problem:  "what was there was changed, not only appended to; commit " + parent + " has the line that is expected",
		Expected: lineAt(old, from), Seen: lineAt(now, from),
	}
}

// lineAt returns the line at an offset.
func lineAt(b []byte, from int) string {
	if from >= len(b) {
		return "(the end of the file)"
	}
	line, _, _ := bytes.Cut(b[from:], []byte("\n"))
	return string(line)
}

// chain checks the hash chain over all lines of the head. The chain crosses the files: the
// first line of a month has the hash of the last line of the month before.
func (v *verifier) chain() error {
	v.trail.Files = len(v.head.files)
	prev, before := "", "the beginning of the log"
	for _, name := range slices.Sorted(maps.Keys(v.head.files)) {
		b, err := v.head.files[name].read()
		if err != nil {
			return err
		}
		offset := 0
		for n := 1; offset < len(b); n++ {
			line, rest, whole := bytes.Cut(b[offset:], []byte("\n"))
			v.line(v.by(name, offset), name, n, line, prev, before, whole)
			prev, before = ledger.LineHash(line), fmt.Sprintf("%s line %d", name, n)
			offset = len(b) - len(rest)
		}
	}
	return nil
}

// by returns the commit that added the content of a file at an offset.
func (v *verifier) by(file string, offset int) string {
	// Newest first: the last commit that changed this part counts, if one rewrote it.
	for _, g := range v.grown[file] {
		if g.from <= offset {
			return g.commit
		}
	}
	return ""
}

// line checks one line: complete, an event, of a known schema, and chained.
func (v *verifier) line(commit, file string, n int, line []byte, prev, before string, whole bool) {
	found := func(problem, expected, seen string) {
		v.trail.find(archive.Breach{Commit: commit, File: file, Line: n, Problem: problem, Expected: expected, Seen: seen})
	}
	if !whole {
		found("the last line does not end", "a newline at its end", string(line))
	}
	var e ledger.Event
	if err := json.Unmarshal(line, &e); err != nil {
		found("it is no event: "+err.Error(), "a JSON object", string(line))
		return
	}
	v.trail.Events++
	switch {
	// A newer certroll may have written the event, so its fields say nothing.
	case e.Schema < 1 || e.Schema > ledger.EventSchema:
		found("an event of a schema that this certroll does not know", fmt.Sprintf("schema 1 to %d", ledger.EventSchema), fmt.Sprintf("schema %d", e.Schema))
	case e.ID == "" || e.Time.IsZero() || e.Operation == "" || e.Status == "":
		found("an event has an id, a time, an operation and a status", "all four", string(line))
	}
	if e.Prev != prev {
		found("the chain is broken: its prev is not the hash of the line before, "+before, said(prev), said(e.Prev))
	}
}

func said(prev string) string {
	if prev == "" {
		return "no prev"
	}
	return prev
}

// pastFiles lists a tree's audit files. It reads them only if the tree does not report
// their Git objects.
func pastFiles(tree fs.FS) (map[string]pastFile, error) {
	names, err := archive.AuditFiles(tree)
	if err != nil {
		return nil, err
	}
	files := make(map[string]pastFile, len(names))
	objects := map[string]string{} // by file
	for _, name := range names {
		if _, ok := objects[name]; !ok {
			objectsIn(tree, name[:strings.LastIndexByte(name, '/')], objects)
		}
		f := pastFile{id: objects[name], read: readOnce(tree, name)}
		if f.id == "" {
			b, err := f.read()
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(b)
			f.id = hex.EncodeToString(sum[:])
		}
		files[name] = f
	}
	return files, nil
}

// readOnce caches the content: compare needs each file twice, as parent and as child.
func readOnce(tree fs.FS, name string) func() ([]byte, error) {
	var b []byte
	var err error
	return func() ([]byte, error) {
		if b == nil && err == nil {
			b, err = fs.ReadFile(tree, name)
			switch {
			case errors.Is(err, fs.ErrInvalid):
				b, err = []byte{}, nil // too large; unreadable reports it
			case err != nil:
				err = fmt.Errorf("reading %s: %w", name, err)
			}
		}
		return b, err
	}
}

// objectOf returns the Git object of a directory at the top of a tree; "" if unknown.
func objectOf(tree fs.FS, name string) string {
	objects := map[string]string{}
	objectsIn(tree, ".", objects)
	return objects["./"+name]
}

func objectsIn(tree fs.FS, dir string, objects map[string]string) {
	entries, err := fs.ReadDir(tree, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // reading the directory's files returns the error again
	}
	for _, e := range entries {
		if o, ok := e.(interface{ ObjectID() string }); ok {
			objects[dir+"/"+e.Name()] = o.ObjectID()
		}
	}
}

// Rewound is the finding that the branch does not descend from the last seen head; now is
// "" if the branch is gone.
func Rewound(old, now string) archive.Breach {
	f := archive.Breach{Commit: now, Problem: "the branch was moved back, rewritten or deleted since this machine last saw it",
		Expected: "a head that descends from commit " + old, Seen: "commit " + now + ", which does not"}
	if now == "" {
		f.Seen = "no branch"
	}
	return f
}
