package lab

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha1" //nolint:gosec // Git's object names
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// PushZeros commits a file of size zeros to a branch of a bare repository, as a push
// would. The pack is a thousandth of that size. git would need many seconds to compress
// the file; PushZeros writes the same compressed megabyte repeatedly.
func PushZeros(ctx context.Context, repo, branch, file string, size int64) error {
	blob, err := packZeros(filepath.Join(repo, "objects", "pack"), size)
	if err != nil {
		return fmt.Errorf("packing %d zeros: %w", size, err)
	}
	dir, err := os.MkdirTemp("", "certroll-lab-index-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(dir, "index")}
	var parents []string
	ref := "refs/heads/" + branch
	if tip, err := Git(ctx, repo, "rev-parse", "--quiet", "--verify", ref); err == nil {
		parents = []string{"-p", tip}
		if _, err := gitWith(ctx, repo, env, "read-tree", tip); err != nil {
			return err
		}
	}
	if _, err := gitWith(ctx, repo, env, "update-index", "--add", "--cacheinfo", "100644,"+blob+","+file); err != nil {
		return err
	}
	tree, err := gitWith(ctx, repo, env, "write-tree")
	if err != nil {
		return err
	}
	commit, err := Git(ctx, repo, append([]string{"commit-tree", "-m", "bomb", tree}, parents...)...)
	if err != nil {
		return err
	}
	_, err = Git(ctx, repo, "update-ref", ref, commit)
	return err
}

// packZeros writes a pack with one blob, and its index (gitformat-pack(5)), and returns
// the blob's name.
func packZeros(dir string, size int64) (blob string, err error) {
	name := sha1.New() //nolint:gosec // as above
	fmt.Fprintf(name, "blob %d\x00", size)
	if err := repeat(name, size, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	id := name.Sum(nil)

	f, err := os.CreateTemp(dir, "zeros-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum, crc := sha1.New(), crc32.NewIEEE() //nolint:gosec // as above
	const head = 12
	if _, err := io.MultiWriter(f, sum).Write(binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), 1)); err != nil {
		return "", err
	}
	if err := writeZeros(io.MultiWriter(f, sum, crc), size); err != nil {
		return "", err
	}
	pack := sum.Sum(nil)
	if _, err := f.Write(pack); err != nil {
		return "", err
	}
	base := filepath.Join(dir, "pack-"+hex.EncodeToString(pack))
	// git looks for the index, so the pack must exist first.
	if err := os.Rename(f.Name(), base+".pack"); err != nil {
		return "", err
	}
	return hex.EncodeToString(id), os.WriteFile(base+".idx", packIndex(id, crc.Sum32(), head, pack), 0o600)
}

// packIndex returns the index of a pack with one object.
func packIndex(id []byte, crc, offset uint32, pack []byte) []byte {
	b := []byte("\xfftOc\x00\x00\x00\x02")
	for first := range 256 {
		var upTo uint32 // number of objects whose name begins with a byte up to first
		if first >= int(id[0]) {
			upTo = 1
		}
		b = binary.BigEndian.AppendUint32(b, upTo)
	}
	b = append(b, id...)
	b = binary.BigEndian.AppendUint32(b, crc)
	b = binary.BigEndian.AppendUint32(b, offset)
	b = append(b, pack...)
	sum := sha1.Sum(b) //nolint:gosec // as above
	return append(b, sum[:]...)
}

// writeZeros writes a pack's entry: type and size, and the blob in zlib's format (RFC
// 1950).
func writeZeros(w io.Writer, size int64) error {
	const blob = 3
	b := []byte{byte(blob<<4 | size&15)}
	for rest := size >> 4; rest > 0; rest >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(rest&0x7f))
	}
	if _, err := w.Write(append(b, 0x78, 0x9c)); err != nil {
		return err
	}
	var chunk, last bytes.Buffer
	const each = 1 << 20
	err := errors.Join(deflate(&chunk, each, (*flate.Writer).Flush), deflate(&last, int(size%each), (*flate.Writer).Close))
	for n := size / each; n > 0 && err == nil; n-- {
		_, err = w.Write(chunk.Bytes())
	}
	// Adler-32 of zeros: the first sum stays 1, and each byte adds 1 to the second.
	sum := binary.BigEndian.AppendUint32(nil, uint32(size%65521)<<16|1)
	_, err2 := w.Write(append(last.Bytes(), sum...))
	return errors.Join(err, err2)
}

// deflate compresses n zeros, and then closes or flushes the stream. Flushed data refers
// to nothing before it, so it can be repeated many times.
func deflate(w io.Writer, n int, end func(*flate.Writer) error) error {
	z, err := flate.NewWriter(w, flate.BestSpeed)
	if err != nil {
		return err
	}
	_, err = z.Write(make([]byte, n))
	return errors.Join(err, end(z))
}

// repeat feeds size bytes to a hash, in pieces of block.
func repeat(h hash.Hash, size int64, block []byte) error {
	for ; size > 0; size -= int64(len(block)) {
		if _, err := h.Write(block[:min(size, int64(len(block)))]); err != nil {
			return err
		}
	}
	return nil
}
