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
	// What it replaces, which the remote has; zero and nil where it is new.
	Base     plumbing.Hash
	BaseData []byte
}

// NewObject is an object that replaces none.
func NewObject(kind plumbing.ObjectType, data []byte) Object {
	return Object{Kind: kind, Hash: plumbing.ComputeHash(kind, data), Data: data}
}

// Writer writes a pack (gitformat-pack(5), version 2) one object at a
// time. go-git's encoder reads all objects of a pack into memory first, and
// knows no deltas against objects outside it.
type Writer struct {
	w    io.Writer // into out and sum
	out  io.Writer
	sum  hash.Hash
	zlib *zlib.Writer
}

// NewWriter begins a pack of so many objects.
func NewWriter(out io.Writer, count int) (*Writer, error) {
	sum := sha1.New() //nolint:gosec // see the import
	p := &Writer{w: io.MultiWriter(out, sum), out: out, sum: sum}
	p.zlib = zlib.NewWriter(p)
	head := append([]byte("PACK"), 0, 0, 0, 2)
	_, err := p.Write(binary.BigEndian.AppendUint32(head, uint32(count)))
	return p, err
}

// Write adds bytes of an entry that is packed already.
func (p *Writer) Write(b []byte) (int, error) { return p.w.Write(b) }

// Whole writes an object as it is.
func (p *Writer) Whole(kind plumbing.ObjectType, data []byte) error {
	return p.entry(kind, nil, data)
}

// Delta writes an object as what changed against base (REF_DELTA).
func (p *Writer) Delta(base plumbing.Hash, delta []byte) error {
	return p.entry(plumbing.REFDeltaObject, base[:], delta)
}

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

// Close ends the pack.
func (p *Writer) Close() error {
	_, err := p.out.Write(p.sum.Sum(nil))
	return err
}

// EntryHead is the type and size: four bits of the size beside the type, then
// seven to a byte, the lowest first.
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

// minDelta is the size below which a delta is not worth its base's hash.
const minDelta = 256

// Of makes the pack of a push. A thin one has deltas against objects that
// only the remote has: an event appended to a long log costs one event.
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

func (p *Writer) add(n Object, thin bool) error {
	if thin && n.BaseData != nil && len(n.Data) >= minDelta {
		d := packfile.DiffDelta(n.BaseData, n.Data)
		// A delta that does not give back the object would be refused by the
		// remote as a broken pack; the whole object never is.
		if back, err := packfile.PatchDelta(n.BaseData, d); err == nil && len(d) < len(n.Data)/2 && bytes.Equal(back, n.Data) {
			return p.Delta(n.Base, d)
		}
	}
	return p.Whole(n.Kind, n.Data)
}
