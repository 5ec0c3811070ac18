package packfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Where the tables of an index are (gitformat-pack(5), version 2).
const (
	idxFanout = 8
	idxHashes = idxFanout + 256*4
	idxPerOne = 20 + 4 + 4 // a hash, a checksum, an offset
	idxSums   = 2 * 20     // the pack's own and the index's
)

// Local is a pack of a repository on this machine. Its index is searched on the
// disk: that of a large repository has more bytes than certroll may need.
type Local struct {
	Path string      // without .idx and .pack
	fan  [256]uint32 // how many hashes begin with this byte or a lower one
	idx  int64       // bytes of the index
}

// LocalIn are the packs of a directory of objects.
func LocalIn(dir string) ([]*Local, error) {
	names, err := filepath.Glob(filepath.Join(EscapeGlob(dir), "pack", "pack-*.idx"))
	if err != nil {
		return nil, err
	}
	var packs []*Local
	for _, name := range names {
		p := &Local{Path: strings.TrimSuffix(name, ".idx")}
		if _, err := os.Stat(p.Path + ".pack"); errors.Is(err, os.ErrNotExist) {
			continue // git is about to remove both
		}
		if err := p.open(); err != nil {
			return nil, fmt.Errorf("reading the index %s: %w", name, err)
		}
		packs = append(packs, p)
	}
	return packs, nil
}

// EscapeGlob makes a path a pattern that is matched by that path alone.
func EscapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// open reads what all searches need, and holds the tables against the file's length.
func (p *Local) open() error {
	f, err := os.Open(p.Path + ".idx")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p.idx = info.Size()
	head := make([]byte, idxHashes)
	if _, err := io.ReadFull(f, head); err != nil {
		return err
	}
	if !bytes.HasPrefix(head, []byte{0xff, 't', 'O', 'c', 0, 0, 0, 2}) {
		return errors.New("it is no index of version 2; git repack -a -d makes one")
	}
	last := uint32(0)
	for i := range p.fan {
		p.fan[i] = binary.BigEndian.Uint32(head[idxFanout+4*i:])
		if p.fan[i] < last {
			return errors.New("it is damaged: run git fsck there")
		}
		last = p.fan[i]
	}
	if p.idx < idxHashes+int64(last)*idxPerOne+idxSums {
		return errors.New("it is cut short: run git fsck there")
	}
	return nil
}

// Find is where in the pack an object is; none where it is not in this one.
func (p *Local) Find(h plumbing.Hash) (int64, error) {
	low, high := 0, int(p.fan[h[0]])
	if h[0] > 0 {
		low = int(p.fan[h[0]-1])
	}
	if low == high {
		return None, nil
	}
	f, err := os.Open(p.Path + ".idx")
	if err != nil {
		return None, err
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, len(h))
	i, found := sort.Find(high-low, func(i int) int {
		if err == nil {
			_, err = f.ReadAt(b, idxHashes+int64(low+i)*int64(len(h)))
		}
		return bytes.Compare(h[:], b)
	})
	if err != nil || !found {
		return None, err
	}
	return p.offset(f, int64(low+i))
}

// offset reads the offset of the nth object.
func (p *Local) offset(f io.ReaderAt, n int64) (int64, error) {
	count := int64(p.fan[255])
	b := make([]byte, 8)
	if _, err := f.ReadAt(b[:4], idxHashes+count*(20+4)+n*4); err != nil {
		return None, err
	}
	at := int64(binary.BigEndian.Uint32(b))
	if at < 1<<31 {
		return at, nil
	}
	if _, err := f.ReadAt(b, idxHashes+count*idxPerOne+(at-1<<31)*8); err != nil {
		return None, err
	}
	if at = int64(binary.BigEndian.Uint64(b)); at < 0 {
		return None, errors.New("an offset beyond the pack's end: run git fsck there")
	}
	return at, nil
}
