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

// The layout of an index file (gitformat-pack(5), version 2), in bytes.
const (
	idxFanout = 8
	idxHashes = idxFanout + 256*4
	idxPerOne = 20 + 4 + 4 // a hash, a CRC-32, an offset
	idxSums   = 2 * 20     // the checksums of the pack and of the index
)

// Local is a pack of a repository on this machine. Find searches its index on the disk: the
// index of a large repository takes more memory than certroll may need.
type Local struct {
	Path string      // path without .idx and .pack
	fan  [256]uint32 // number of hashes whose first byte is at most the array's index
	idx  int64       // length of the index in bytes
}

// LocalIn returns the packs of an objects directory.
func LocalIn(dir string) ([]*Local, error) {
	names, err := filepath.Glob(filepath.Join(EscapeGlob(dir), "pack", "pack-*.idx"))
	if err != nil {
		return nil, err
	}
	var packs []*Local
	for _, name := range names {
		p := &Local{Path: strings.TrimSuffix(name, ".idx")}
		if _, err := os.Stat(p.Path + ".pack"); errors.Is(err, os.ErrNotExist) {
			continue // git repack is removing both
		}
		err := p.open()
		if errors.Is(err, os.ErrNotExist) {
			continue // it is removed by now
		}
		if err != nil {
			return nil, fmt.Errorf("reading the index %s: %w", name, err)
		}
		packs = append(packs, p)
	}
	return packs, nil
}

// EscapeGlob returns a pattern for filepath.Glob that matches the path itself only.
func EscapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// open reads the fanout table, and checks that the file has room for the tables that it
// announces.
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

// Find returns the offset of an object in the pack; None if the pack lacks it.
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

// offset returns the pack offset of the nth object. An offset of 2 GiB or more is in the
// second table, of eight bytes each (gitformat-pack(5)).
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
