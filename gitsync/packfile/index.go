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

// Bounds limit what a pack may hold, so that neither memory nor time depends on
// who made it: six megabytes of pack may stand for terabytes of objects.
type Bounds struct {
	Pack    int64 // bytes of the pack as it is sent
	Objects int   // number of objects
	// Object is from where on an object is refused that is packed more densely than
	// anything honest, see mostDense. It is hashed as it streams by, and never read.
	Object int64
	// Delta bounds an object that is stored as a difference, and the one that it
	// differs from: both are in memory when they are put together. One that is
	// larger stays packed: no file that is ever read is.
	Delta int64
	Total int64 // inflated bytes of all objects, again for each time
	// Lenient takes a pack all the same where one object is refused: that object is
	// not read.
	Lenient bool
	// CommitsOnly has nothing resolved but commits.
	CommitsOnly bool
}

// InMemory is less for a store that has no directory.
func (b Bounds) InMemory() Bounds {
	b.Pack = min(b.Pack, 256<<20)
	return b
}

// sizeError says that a pack, or an object in it, is larger than allowed.
type sizeError struct{ detail string }

func (e *sizeError) Error() string { return e.detail }

func (e *sizeError) Is(target error) bool { return target == ErrTooLarge }

// TooLarge is an ErrTooLarge with these words.
func TooLarge(format string, args ...any) error { return &sizeError{fmt.Sprintf(format, args...)} }

// None stands for no entry.
const None = -1

// packEntry is one object of a pack. There may be a million of them.
type packEntry struct {
	offset int64
	size   int64 // inflated; of a delta: of its result
	base   int32 // what a delta differs from; none: it is whole, or that is not known
	child  int32 // the first delta that differs from it
	next   int32 // the next delta of the same base
	crc    uint32
	kind   plumbing.ObjectType // a delta's own until it is resolved
	hash   plumbing.Hash       // zero: not known
}

// mostDense is how many bytes of a large object one byte of a pack may stand for.
// zlib comes to a thousand at most, with zeros; disk images and dumps come to ten.
const mostDense = 100

// bigObject is one that is large, and has next to nothing in it.
type bigObject struct {
	hash   plumbing.Hash
	size   int64
	packed int64 // bytes that it has in the pack
}

// Index finds out what is in a pack (gitformat-pack(5)). go-git's parser
// inflates each object whole, whatever size the pack says it has.
//
// Objects that are whole are hashed as they stream by. Deltas are resolved from
// each base down to what is made of it, holding no more than a few objects.
type Index struct {
	ctx    context.Context
	bound  Bounds
	s      *packfile.Scanner
	Sum    plumbing.Hash // the pack's own
	e      []packEntry   // by offset
	byRef  map[plumbing.Hash][]int32
	order  []int32 // of those whose hash is known, by hash
	big    []bigObject
	Packed int   // deltas that stay packed
	work   int64 // inflated bytes so far
	held   int64 // bytes of bases that are in memory
}

// NewIndex reads a whole pack of a length. An empty one has no entries.
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
	// An entry has nine bytes at least: a pack cannot claim more than it is long.
	x.e = make([]packEntry, 0, min(int64(n), length/9+1))
	for range n {
		if err := x.scan(); err != nil {
			return nil, fmt.Errorf("reading the pack: %w", err)
		}
	}
	if x.Sum, err = x.s.Checksum(); err != nil {
		return nil, fmt.Errorf("reading the pack: %w", err)
	}
	x.weigh(length)
	if err := x.resolve(); err != nil {
		return nil, fmt.Errorf("reading the pack: %w", err)
	}
	x.sort()
	return x, nil
}

// Empty tells whether there is nothing in the pack.
func (x *Index) Empty() bool { return len(x.e) == 0 }

// Dense tells whether an object is packed too densely; see Refusal.
func (x *Index) Dense() bool { return len(x.big) > 0 }

// spend counts work, and ends where it is too much or nobody waits any more.
func (x *Index) spend(n int64) error {
	if x.work += n; x.work > x.bound.Total {
		return TooLarge("its objects have more than %d bytes together when they are inflated", x.bound.Total)
	}
	return x.ctx.Err()
}

// scan reads the next entry. Its size is known before a byte is inflated.
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

// mostNamed bounds how many of those that are refused are kept to be named.
const mostNamed = 20

// weigh notes what is packed too densely, in a pack of a length. A delta is not
// among it: its result is not made where that is large, and costs nothing.
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

// link notes what a delta, which is about to be added, differs from.
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

// DeltaHead keeps the beginning of a delta, where its sizes are.
type DeltaHead struct{ b []byte }

func (f *DeltaHead) Write(p []byte) (int, error) {
	if room := 2*binary.MaxVarintLen64 - len(f.b); room > 0 {
		f.b = append(f.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// Sizes are a delta's two: of what it differs from, and of its result.
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

// sort makes the order by hash; of an object that is there twice, the first.
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

// find looks an object up; none where it is not in the pack, or stays packed.
func (x *Index) find(h plumbing.Hash) int32 {
	i, found := slices.BinarySearchFunc(x.order, h, func(at int32, h plumbing.Hash) int {
		return slices.Compare(x.e[at].hash[:], h[:])
	})
	if !found {
		return None
	}
	return x.order[i]
}

// ErrTooLarge says that a fetch went over its limit.
var ErrTooLarge = errors.New("the pack is larger than allowed")
