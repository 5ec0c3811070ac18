package packfile

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // git's format of an index
	"encoding/binary"
	"fmt"
	"io"
	"path"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/spec/text"
)

// Write writes the index of the pack (gitformat-pack(5), version 2), which go-git's reader
// needs.
func (x *Index) Write(to io.Writer) error {
	buffered := bufio.NewWriter(to)
	sum := sha1.New() //nolint:gosec // see the import
	w := &indexWriter{w: io.MultiWriter(buffered, sum)}
	w.put([]byte{0xff, 't', 'O', 'c', 0, 0, 0, 2})
	w.fanout(x)
	for _, i := range x.order {
		w.put(x.e[i].hash[:])
	}
	for _, i := range x.order {
		w.number(x.e[i].crc)
	}
	var far []int64
	for _, i := range x.order {
		at := x.e[i].offset
		if at < 1<<31 {
			w.number(uint32(at))
			continue
		}
		// The high bit marks an index into the table of offsets from 2 GiB.
		w.number(1<<31 | uint32(len(far)))
		far = append(far, at)
	}
	for _, at := range far {
		w.put(binary.BigEndian.AppendUint64(nil, uint64(at)))
	}
	w.put(x.Sum[:])
	if w.err == nil {
		_, w.err = buffered.Write(sum.Sum(nil))
	}
	if w.err != nil {
		return w.err
	}
	return buffered.Flush()
}

// indexWriter writes numbers and bytes, and keeps the first error.
type indexWriter struct {
	w   io.Writer
	b   [4]byte
	err error
}

func (w *indexWriter) put(b []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
}

func (w *indexWriter) number(n uint32) {
	binary.BigEndian.PutUint32(w.b[:], n)
	w.put(w.b[:])
}

// fanout writes, for each first byte, the number of hashes with that byte or a lower one.
func (w *indexWriter) fanout(x *Index) {
	var count [256]uint32
	for _, i := range x.order {
		count[x.e[i].hash[0]]++
	}
	n := uint32(0)
	for _, c := range count {
		n += c
		w.number(n)
	}
}

// mostTrees bounds the trees that the search for an object's path reads.
const mostTrees = 100_000

// Refusal returns the error for an object that is packed too densely. It names the object's
// path if a commit in the pack leads to it. readTree reads the trees that are not in the
// pack.
func (x *Index) Refusal(readTree func(plumbing.Hash) ([]byte, error)) error {
	big := x.big[0]
	what := "object " + big.hash.String()
	s := &search{x: x, here: readTree, seen: map[plumbing.Hash]bool{}, left: mostTrees}
	if p := s.pathOf(big); p != "" {
		what = fmt.Sprintf("%s (%s)", p, what)
	}
	return TooLarge("%s has %d bytes, which are packed into %d: one of more than %d bytes may not be packed %d times as densely, also where it is not read",
		what, big.size, big.packed, x.bound.Object, mostDense)
}

// search finds the path of an object.
type search struct {
	x    *Index
	here func(tree plumbing.Hash) ([]byte, error)
	seen map[plumbing.Hash]bool
	left int
}

// pathOf searches the trees of the pack's commits. git packs the newest commit first, so
// the path is the newest one.
func (s *search) pathOf(big bigObject) string {
	for i := range s.x.e {
		if e := &s.x.e[i]; e.kind != plumbing.CommitObject || e.size > MaxCommit {
			continue
		}
		raw, err := s.x.content(int32(i))
		if err != nil {
			return ""
		}
		line, _, _ := bytes.Cut(raw, []byte("\n"))
		if root, ok := bytes.CutPrefix(line, []byte("tree ")); ok {
			if p := s.below(plumbing.NewHash(string(root)), "", big, 0); p != "" {
				return p
			}
		}
	}
	return ""
}

// below searches one tree for the object; at is the tree's path.
func (s *search) below(tree plumbing.Hash, at string, big bigObject, depth int) string {
	if s.seen[tree] || s.left == 0 || depth > MaxDepth {
		return ""
	}
	s.seen[tree] = true
	s.left--
	raw, err := s.read(tree)
	if err != nil {
		return ""
	}
	for len(raw) > 0 {
		mode, rest, ok := bytes.Cut(raw, []byte(" "))
		name, rest, named := bytes.Cut(rest, []byte{0})
		if !ok || !named || len(rest) < len(plumbing.ZeroHash) {
			return ""
		}
		var h plumbing.Hash
		raw = rest[copy(h[:], rest):]
		p := path.Join(at, text.Line(string(name)))
		isDir := string(mode) == "40000"
		switch {
		case h == big.hash:
			return p
		case isDir:
			if found := s.below(h, p, big, depth+1); found != "" {
				return found
			}
		}
	}
	return ""
}

// read returns the bytes of a tree, from the pack or from the store.
func (s *search) read(tree plumbing.Hash) ([]byte, error) {
	at := s.x.find(tree)
	switch {
	case at == None:
		return s.here(tree)
	case s.x.e[at].kind != plumbing.TreeObject || s.x.e[at].size > MaxTree:
		return nil, plumbing.ErrObjectNotFound
	}
	return s.x.content(at)
}

// MaxCommit and MaxTree bound commits and trees, in bytes. Honest ones are far smaller.
const (
	MaxCommit = 4 << 20
	MaxTree   = 16 << 20
)

// MaxDepth bounds the nesting of directories.
const MaxDepth = 64
