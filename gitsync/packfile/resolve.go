package packfile

import (
	"bytes"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// resolve computes the hash of each delta whose result is within the bounds. A delta
// against an object outside the pack stays packed too: certroll asks for no thin packs.
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

// base is an object on the stack of descendants, with deltas yet to resolve.
type base struct {
	at   int32
	next int32  // the next delta to resolve
	data []byte // nil: not in memory
}

// mostHeld bounds the bases in memory, in bytes. A chain that alternates between larger
// bases inflates them again, which counts as work.
const mostHeld = 16 << 20

// descendants resolves all deltas that derive from one object, depth first. It does not
// recurse, because the pack's maker chooses the length of the chains.
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

// adopt gives the object at an entry the REF_DELTAs that name its hash as their base.
func (x *Index) adopt(at int32) {
	h := x.e[at].hash
	for _, child := range x.byRef[h] {
		x.e[child].base, x.e[child].next = at, x.e[at].child
		x.e[at].child = child
	}
	delete(x.byRef, h)
}

// derive applies a delta to the last object of the stack, and records its type and hash. It
// returns nil for a delta that stays packed.
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

// release drops bases from memory until mostHeld fits. The bottom of the stack goes first:
// the depth-first walk needs it last.
func (x *Index) release(stack []base) {
	for i := range stack[:len(stack)-1] {
		if x.held <= mostHeld {
			return
		}
		x.held -= int64(len(stack[i].data))
		stack[i].data = nil
	}
}

// content returns the bytes of a resolved object. descendants has checked the sizes of the
// object and of its bases.
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

// inflate returns the bytes of an entry; nil if it has more than most bytes.
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

// patch applies a delta. It returns nil, so that the delta stays packed, if the delta is
// larger than any instructions for its result.
func (x *Index) patch(on []byte, at int32) ([]byte, error) {
	e := &x.e[at]
	if err := x.spend(e.size); err != nil {
		return nil, err
	}
	// A delta instruction that makes one byte or more takes eight bytes or fewer
	// (gitformat-pack(5)).
	delta, err := x.inflate(at, min(8*e.size+64, x.bound.Delta+64))
	if err != nil || delta == nil {
		return nil, err
	}
	data, err := packfile.PatchDelta(on, delta)
	if err != nil || int64(len(data)) != e.size {
		return nil, fmt.Errorf("the delta at offset %d does not fit what it differs from: %w", e.offset, err)
	}
	// nil means "stays packed", so an empty result must not be nil.
	if data == nil {
		data = []byte{}
	}
	return data, nil
}
