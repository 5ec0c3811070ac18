package packfile

import (
	"bytes"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// resolve finds out the hash of each delta that can be put together within the
// bounds. What differs from something outside of the pack, which was not asked
// for, stays packed as well.
func (x *Index) resolve() error {
	for i := range x.e {
		if whole := !x.e[i].kind.IsDelta() && x.e[i].base == None; !whole {
			continue
		}
		if x.bound.CommitsOnly && x.e[i].kind != plumbing.CommitObject {
			continue
		}
		if err := x.descendants(int32(i)); err != nil {
			return err
		}
	}
	for i := range x.e {
		if x.e[i].kind.IsDelta() {
			x.Packed++
		}
	}
	return nil
}

// base is an object that others differ from, while they are resolved.
type base struct {
	at   int32
	next int32  // the delta that comes next
	data []byte // nil: not in memory
}

// mostHeld is how many bytes of bases are kept in memory at once. A long chain
// that goes back and forth between more is inflated again, which counts as work.
const mostHeld = 16 << 20

// descendants resolves all that is made of one object, depth first, without
// recursion: chains may be as long as somebody likes.
func (x *Index) descendants(root int32) error {
	x.adopt(root)
	if x.e[root].child == None || x.e[root].size > x.bound.Delta {
		return nil
	}
	stack := []base{{at: root, next: x.e[root].child}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		at := top.next
		if at == None {
			x.held -= int64(len(top.data))
			stack = stack[:len(stack)-1]
			continue
		}
		top.next = x.e[at].next
		if x.e[at].size > x.bound.Delta {
			continue
		}
		data, err := x.derive(stack, at)
		if err != nil {
			return err
		}
		if data == nil || x.e[at].child == None {
			continue
		}
		stack = append(stack, base{at: at, next: x.e[at].child, data: data})
		x.held += int64(len(data))
		x.release(stack)
	}
	return nil
}

// adopt hands an object the deltas that name it by its hash.
func (x *Index) adopt(at int32) {
	h := x.e[at].hash
	for _, child := range x.byRef[h] {
		x.e[child].base, x.e[child].next = at, x.e[at].child
		x.e[at].child = child
	}
	delete(x.byRef, h)
}

// derive makes a delta's result, whose base is the last of the stack, and takes
// down what it is. nil is a delta that stays packed.
func (x *Index) derive(stack []base, at int32) ([]byte, error) {
	top := &stack[len(stack)-1]
	if top.data == nil {
		data, err := x.content(top.at)
		if err != nil {
			return nil, err
		}
		top.data = data
		x.held += int64(len(data))
	}
	data, err := x.patch(top.data, at)
	if err != nil || data == nil {
		return nil, err
	}
	e := &x.e[at]
	e.kind = x.e[top.at].kind
	e.hash = plumbing.ComputeHash(e.kind, data)
	x.adopt(at)
	return data, nil
}

// release drops the bases that are needed last, those farthest up.
func (x *Index) release(stack []base) {
	for i := range stack[:len(stack)-1] {
		if x.held <= mostHeld {
			return
		}
		x.held -= int64(len(stack[i].data))
		stack[i].data = nil
	}
}

// content makes an object's bytes. It is within the bounds, and so is all that
// it is made of: see descendants.
func (x *Index) content(at int32) ([]byte, error) {
	chain := []int32{at}
	for x.e[at].base != None {
		at = x.e[at].base
		chain = append(chain, at)
	}
	data, err := x.inflate(at, x.e[at].size)
	for i := len(chain) - 2; i >= 0 && err == nil; i-- {
		data, err = x.patch(data, chain[i])
	}
	return data, err
}

// inflate reads what an entry holds, of at most so many bytes; nil: it has more.
func (x *Index) inflate(at int32, most int64) ([]byte, error) {
	h, err := x.s.SeekObjectHeader(x.e[at].offset)
	if err != nil {
		return nil, err
	}
	if h.Length > most {
		return nil, nil
	}
	if err := x.spend(h.Length); err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(make([]byte, 0, h.Length))
	if n, _, err := x.s.NextObject(b); err != nil || n != h.Length {
		return nil, fmt.Errorf("the object at offset %d is cut short: %w", h.Offset, err)
	}
	return b.Bytes(), nil
}

// patch applies a delta; nil: it is larger than what it could make, and stays
// packed.
func (x *Index) patch(on []byte, at int32) ([]byte, error) {
	e := &x.e[at]
	if err := x.spend(e.size); err != nil {
		return nil, err
	}
	// An instruction that makes a byte or more has eight bytes at most.
	delta, err := x.inflate(at, min(8*e.size+64, x.bound.Delta+64))
	if err != nil || delta == nil {
		return nil, err
	}
	data, err := packfile.PatchDelta(on, delta)
	if err != nil || int64(len(data)) != e.size {
		return nil, fmt.Errorf("the delta at offset %d does not fit what it differs from: %w", e.offset, err)
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}
