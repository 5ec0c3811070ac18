package packfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// Bounds limit a pack, so that its maker controls neither certroll's memory nor its time:
// six megabytes of pack can inflate to terabytes.
type Bounds struct {
	Pack    int64 // bytes of the pack as the remote sends it
	Objects int   // number of objects
	// Object is a size in bytes. A larger object is refused if it is packed more densely
	// than any honest one, see mostDense. Index hashes a large object as it streams by, and
	// never holds it in memory.
	Object int64
	// Delta bounds the result of a delta and its base, in bytes: both are in memory when
	// Index applies the delta. A larger one stays packed, without a hash. certroll reads no
	// file of that size.
	Delta int64
	Total int64 // inflated bytes of all objects; an object counts again each time it is inflated
	// Lenient accepts a pack with a refused object. certroll never reads that object.
	Lenient bool
	// CommitsOnly resolves deltas of commits only.
	CommitsOnly bool
}

// InMemory returns b with a smaller Pack, for a store without a directory.
func (b Bounds) InMemory() Bounds {
	b.Pack = min(b.Pack, 256<<20)
	return b
}

// sizeError is the error for a pack or object over its bound; it matches ErrTooLarge.
type sizeError struct{ detail string }

func (e *sizeError) Error() string { return e.detail }

func (e *sizeError) Is(target error) bool { return target == ErrTooLarge }

// TooLarge returns an error with this text that matches ErrTooLarge.
func TooLarge(format string, args ...any) error { return &sizeError{fmt.Sprintf(format, args...)} }

// None is the index of no entry.
const None = -1

// packEntry is one object of a pack. A pack may have a million objects, so its fields are
// small.
type packEntry struct {
	offset int64
	size   int64 // inflated bytes; of a delta: bytes of its result
	base   int32 // the base of a delta; None for a whole object, or while the base is unknown
	child  int32 // the first delta with this base
	next   int32 // the next delta with the same base
	crc    uint32
	kind   plumbing.ObjectType // the delta type until the delta is resolved
	hash   plumbing.Hash       // zero until known
}

// mostDense bounds the inflated bytes of a large object per packed byte. zlib reaches about
// a thousand with zeros; disk images and dumps reach ten.
const mostDense = 100

// bigObject is a large object that is packed too densely.
type bigObject struct {
	hash   plumbing.Hash
	size   int64
	packed int64 // its bytes in the pack
}

// Index lists the objects of a pack (gitformat-pack(5)). go-git's parser inflates each
// object whole, whatever size the pack claims for it.
//
// Index hashes whole objects as they stream by. It resolves deltas from each base down to
// its descendants, and holds only a few objects in memory.
type Index struct {
	ctx    context.Context
	bound  Bounds
	s      *packfile.Scanner
	Sum    plumbing.Hash // the pack's checksum
	e      []packEntry   // all entries, by offset
	byRef  map[plumbing.Hash][]int32
	order  []int32 // entries with a known hash, by hash
	big    []bigObject
	Packed int   // number of deltas that stay packed
	work   int64 // inflated bytes so far
	held   int64 // bytes of bases in memory
}

// NewIndex reads a whole pack of length bytes. An empty pack gives an Index without
// entries.
func NewIndex(ctx context.Context, r io.ReadSeeker, length int64, b Bounds) (*Index, error) {
	x := &Index{ctx: ctx, bound: b, s: packfile.NewScanner(r), byRef: map[plumbing.Hash][]int32{}}
	_, n, err := x.s.Header()
	switch {
	case errors.Is(err, packfile.ErrEmptyPackfile):
		return x, nil
	case err != nil:
		return nil, fmt.Errorf("reading the pack: %w", err)
	case int64(n) > int64(b.Objects):
		return nil, TooLarge("the pack has %d objects, and may have %d", n, b.Objects)
	}
	// An entry takes nine bytes or more. So a small pack that claims many objects does not
	// make certroll allocate much.
	x.e = make([]packEntry, 0, min(int64(n), length/9+1))
	for range n {
		if err := x.scan(); err != nil {
			return nil, fmt.Errorf("reading the pack: %w", err)
		}
	}
	if x.Sum, err = x.s.Checksum(); err != nil {
		return nil, fmt.Errorf("reading the pack: %w", err)
	}
	// Before resolve: weigh skips deltas, and resolve replaces their kind.
	x.weigh(length)
	if err := x.resolve(); err != nil {
		return nil, fmt.Errorf("reading the pack: %w", err)
	}
	x.sort()
	return x, nil
}

// Empty reports whether the pack has no objects.
func (x *Index) Empty() bool { return len(x.e) == 0 }

// Dense reports whether an object is packed too densely; see Refusal.
func (x *Index) Dense() bool { return len(x.big) > 0 }

// spend counts inflated bytes. It returns an error over Bounds.Total, or when the context
// has ended.
func (x *Index) spend(n int64) error {
	if x.work += n; x.work > x.bound.Total {
		return TooLarge("its objects have more than %d bytes together when they are inflated", x.bound.Total)
	}
	return x.ctx.Err()
}

// scan reads the next entry. It checks the size before it inflates a byte.
func (x *Index) scan() error {
	h, err := x.s.NextObjectHeader()
	if err != nil {
		return err
	}
	if err := x.spend(h.Length); err != nil {
		return err
	}
	e := packEntry{offset: h.Offset, size: h.Length, base: None, child: None, next: None, kind: h.Type}
	var n int64
	switch h.Type {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
		sum := plumbing.NewHasher(h.Type, h.Length)
		n, e.crc, err = x.s.NextObject(sum)
		e.hash = sum.Sum()
	case plumbing.OFSDeltaObject, plumbing.REFDeltaObject:
		var head DeltaHead
		n, e.crc, err = x.s.NextObject(&head)
		if err == nil {
			_, e.size, err = head.Sizes()
		}
		if err == nil {
			err = x.link(&e, h)
		}
	default:
		err = fmt.Errorf("an object of the unknown type %d at offset %d", h.Type, h.Offset)
	}
	if err == nil && n != h.Length {
		err = fmt.Errorf("the object at offset %d has %d bytes, not the %d that it says", h.Offset, n, h.Length)
	}
	x.e = append(x.e, e)
	return err
}

// mostNamed bounds the number of refused objects that Index remembers. Refusal names the
// first.
const mostNamed = 20

// weigh finds the objects that are packed too densely, in a pack of length bytes. It skips
// deltas: a delta with a large result is never applied, and costs nothing.
func (x *Index) weigh(length int64) {
	for i := range x.e {
		e := &x.e[i]
		end := length - int64(len(x.Sum))
		if i+1 < len(x.e) {
			end = x.e[i+1].offset
		}
		packed := end - e.offset
		if e.kind.IsDelta() || e.size <= x.bound.Object || e.size/mostDense < packed || len(x.big) == mostNamed {
			continue
		}
		x.big = append(x.big, bigObject{hash: e.hash, size: e.size, packed: packed})
	}
}

// link records the base of the delta e, which scan is about to append. A REF_DELTA may come
// before its base, so its base is found later; see adopt.
func (x *Index) link(e *packEntry, h *packfile.ObjectHeader) error {
	at := int32(len(x.e))
	if h.Type == plumbing.REFDeltaObject {
		x.byRef[h.Reference] = append(x.byRef[h.Reference], at)
		return nil
	}
	i, found := sort.Find(len(x.e), func(i int) int {
		return int(min(1, max(-1, h.OffsetReference-x.e[i].offset)))
	})
	if !found {
		return fmt.Errorf("the object at offset %d differs from one that is not there", h.Offset)
	}
	e.base, e.next = int32(i), x.e[i].child
	x.e[i].child = at
	return nil
}

// DeltaHead keeps the first bytes written to it: the two sizes at the start of a delta.
type DeltaHead struct{ b []byte }

func (f *DeltaHead) Write(p []byte) (int, error) {
	if room := 2*binary.MaxVarintLen64 - len(f.b); room > 0 {
		f.b = append(f.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// Sizes returns the two sizes of a delta, in bytes: of its base and of its result.
func (f *DeltaHead) Sizes() (on, result int64, err error) {
	a, n := binary.Uvarint(f.b)
	if n <= 0 {
		return 0, 0, errors.New("a delta without sizes")
	}
	b, n := binary.Uvarint(f.b[n:])
	if n <= 0 || a > 1<<62 || b > 1<<62 {
		return 0, 0, errors.New("a delta without sizes")
	}
	return int64(a), int64(b), nil
}

// sort fills order. Of an object that is in the pack twice it keeps the first entry.
func (x *Index) sort() {
	x.order = make([]int32, 0, len(x.e))
	for i := range x.e {
		if e := &x.e[i]; !e.hash.IsZero() {
			x.order = append(x.order, int32(i))
		}
	}
	slices.SortFunc(x.order, func(a, b int32) int {
		if c := slices.Compare(x.e[a].hash[:], x.e[b].hash[:]); c != 0 {
			return c
		}
		return int(a - b)
	})
	x.order = slices.CompactFunc(x.order, func(a, b int32) bool { return x.e[a].hash == x.e[b].hash })
}

// find returns the entry of an object; None if the pack lacks it or it stays packed.
func (x *Index) find(h plumbing.Hash) int32 {
	i, found := slices.BinarySearchFunc(x.order, h, func(at int32, h plumbing.Hash) int {
		return slices.Compare(x.e[at].hash[:], h[:])
	})
	if !found {
		return None
	}
	return x.order[i]
}

// ErrTooLarge matches every error about a bound on sizes.
var ErrTooLarge = errors.New("the pack is larger than allowed")
