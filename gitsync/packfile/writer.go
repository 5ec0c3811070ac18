package packfile

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // git's object format; nothing here rests on its strength
	"encoding/binary"
	"fmt"
	"hash"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// Object is an object that the remote does not have yet.
type Object struct {
	Kind plumbing.ObjectType
	Hash plumbing.Hash
	Data []byte
	// Base is the object that this one replaces, which the remote has, and BaseData its
	// bytes; zero and nil for a new file.
	Base     plumbing.Hash
	BaseData []byte
}

// NewObject returns an Object without a base.
func NewObject(kind plumbing.ObjectType, data []byte) Object {
	return Object{Kind: kind, Hash: plumbing.ComputeHash(kind, data), Data: data}
}

// Writer writes a pack (gitformat-pack(5), version 2), one object at a time. go-git's
// encoder first reads all objects of a pack into memory, and cannot write deltas against
// objects outside the pack.
type Writer struct { // writes to out and sum
	w    io.Writer // into out and sum
	out  io.Writer
	sum  hash.Hash
	zlib *zlib.Writer
}

// NewWriter writes the head of a pack with count objects.
func NewWriter(out io.Writer, count int) (*Writer, error) {
	sum := sha1.New() //nolint:gosec // see the import
	p := &Writer{w: io.MultiWriter(out, sum), out: out, sum: sum}
	p.zlib = zlib.NewWriter(p)
	head := append([]byte("PACK"), 0, 0, 0, 2)
	_, err := p.Write(binary.BigEndian.AppendUint32(head, uint32(count)))
	return p, err
}

// Write appends raw bytes to the pack and to its checksum.
func (p *Writer) Write(b []byte) (int, error) { return p.w.Write(b) }

// Whole writes an object undeltified.
func (p *Writer) Whole(kind plumbing.ObjectType, data []byte) error {
	return p.entry(kind, nil, data)
}

// Delta writes an object as a delta against base (REF_DELTA).
func (p *Writer) Delta(base plumbing.Hash, delta []byte) error {
	return p.entry(plumbing.REFDeltaObject, base[:], delta)
}

// entry writes the head, the base's hash of a delta, and the compressed data.
func (p *Writer) entry(kind plumbing.ObjectType, base, data []byte) error {
	if _, err := p.Write(append(EntryHead(kind, len(data)), base...)); err != nil {
		return err
	}
	p.zlib.Reset(p)
	if _, err := p.zlib.Write(data); err != nil {
		return err
	}
	return p.zlib.Close()
}

// Close writes the checksum, which ends the pack.
func (p *Writer) Close() error {
	_, err := p.out.Write(p.sum.Sum(nil))
	return err
}

// EntryHead returns the head of an entry: the type and four bits of the size in the first
// byte, then seven bits per byte, the lowest first.
func EntryHead(kind plumbing.ObjectType, size int) []byte {
	b := byte(kind)<<4 | byte(size&0x0f)
	size >>= 4
	var head []byte
	for size > 0 {
		head = append(head, b|0x80)
		b = byte(size & 0x7f)
		size >>= 7
	}
	return append(head, b)
}

// minDelta is the smallest object, in bytes, that Of writes as a delta. A delta also costs
// the 20 bytes of its base's hash.
const minDelta = 256

// Of returns the pack of a push. A thin pack has deltas against objects that only the
// remote has. With it, an event appended to a long log costs about the bytes of the event.
func Of(news []Object, thin bool) ([]byte, error) {
	var b bytes.Buffer
	p, err := NewWriter(&b, len(news))
	for _, n := range news {
		if err == nil {
			err = p.add(n, thin)
		}
	}
	if err == nil {
		err = p.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("packing %d objects: %w", len(news), err)
	}
	return b.Bytes(), nil
}

// add writes an object, as a delta if that is less than half as large.
func (p *Writer) add(n Object, thin bool) error {
	if thin && n.BaseData != nil && len(n.Data) >= minDelta {
		d := packfile.DiffDelta(n.BaseData, n.Data)
		// The remote would reject the whole push for one wrong delta, so check that the
		// delta gives back the object.
		if back, err := packfile.PatchDelta(n.BaseData, d); err == nil && len(d) < len(n.Data)/2 && bytes.Equal(back, n.Data) {
			return p.Delta(n.Base, d)
		}
	}
	return p.Whole(n.Kind, n.Data)
}
