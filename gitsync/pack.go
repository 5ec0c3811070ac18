package gitsync

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

// newObject is an object that the remote does not have yet.
type newObject struct {
	kind plumbing.ObjectType
	hash plumbing.Hash
	data []byte
	// What it replaces, which the remote has; zero and nil where it is new.
	base     plumbing.Hash
	baseData []byte
}

func makeObject(kind plumbing.ObjectType, data []byte) newObject {
	return newObject{kind: kind, hash: plumbing.ComputeHash(kind, data), data: data}
}

// packWriter writes a pack (gitformat-pack(5), version 2) one object at a
// time. go-git's encoder reads all objects of a pack into memory first, and
// knows no deltas against objects outside it.
type packWriter struct {
	w    io.Writer // into out and sum
	out  io.Writer
	sum  hash.Hash
	zlib *zlib.Writer
}

func newPackWriter(out io.Writer, count int) (*packWriter, error) {
	sum := sha1.New() //nolint:gosec // see the import
	p := &packWriter{w: io.MultiWriter(out, sum), out: out, sum: sum}
	p.zlib = zlib.NewWriter(p)
	head := append([]byte("PACK"), 0, 0, 0, 2)
	_, err := p.Write(binary.BigEndian.AppendUint32(head, uint32(count)))
	return p, err
}

// Write adds bytes of an entry that is packed already.
func (p *packWriter) Write(b []byte) (int, error) { return p.w.Write(b) }

// whole writes an object as it is.
func (p *packWriter) whole(kind plumbing.ObjectType, data []byte) error {
	return p.entry(kind, nil, data)
}

// delta writes an object as what changed against base (REF_DELTA).
func (p *packWriter) delta(base plumbing.Hash, delta []byte) error {
	return p.entry(plumbing.REFDeltaObject, base[:], delta)
}

func (p *packWriter) entry(kind plumbing.ObjectType, base, data []byte) error {
	if _, err := p.Write(append(entryHead(kind, len(data)), base...)); err != nil {
		return err
	}
	p.zlib.Reset(p)
	if _, err := p.zlib.Write(data); err != nil {
		return err
	}
	return p.zlib.Close()
}

func (p *packWriter) close() error {
	_, err := p.out.Write(p.sum.Sum(nil))
	return err
}

// entryHead is the type and size: four bits of the size beside the type, then
// seven to a byte, the lowest first.
func entryHead(kind plumbing.ObjectType, size int) []byte {
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

// packOf makes the pack of a push. A thin one has deltas against objects that
// only the remote has: an event appended to a long log costs one event.
func packOf(news []newObject, thin bool) ([]byte, error) {
	var b bytes.Buffer
	p, err := newPackWriter(&b, len(news))
	for _, n := range news {
		if err == nil {
			err = p.add(n, thin)
		}
	}
	if err == nil {
		err = p.close()
	}
	if err != nil {
		return nil, fmt.Errorf("packing %d objects: %w", len(news), err)
	}
	return b.Bytes(), nil
}

func (p *packWriter) add(n newObject, thin bool) error {
	if thin && n.baseData != nil && len(n.data) >= minDelta {
		d := packfile.DiffDelta(n.baseData, n.data)
		// A delta that does not give back the object would be refused by the
		// remote as a broken pack; the whole object never is.
		if back, err := packfile.PatchDelta(n.baseData, d); err == nil && len(d) < len(n.data)/2 && bytes.Equal(back, n.data) {
			return p.delta(n.base, d)
		}
	}
	return p.whole(n.kind, n.data)
}
