package objects

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // Git's checksum against accidents
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/gitsync/atomicfile"
	"certroll/gitsync/fault"
	"certroll/gitsync/packfile"
)

// cacheError is an error of the cache's disk, not of the remote.
type cacheError struct {
	doing string
	err   error
}

func (e *cacheError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *cacheError) Unwrap() error { return e.err }

// OnCache marks an error as one of the cache's disk. It keeps nil and an error that is
// marked already.
func OnCache(doing string, err error) error {
	var already *cacheError
	if err == nil || errors.As(err, &already) {
		return err
	}
	return &cacheError{doing, err}
}

// IsCacheError reports whether an error is one of the cache's disk.
func IsCacheError(err error) bool {
	var e *cacheError
	return errors.As(err, &e)
}

// cacheWriter marks write errors, so that AddPack can separate a full disk from a broken
// connection: io.Copy returns both.
type cacheWriter struct{ w io.Writer }

func (c cacheWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	return n, OnCache("writing the Git cache", err)
}

// Spoil records that the cache has an unreadable object, and returns err as a cache error.
// A file over its bound is no damage: Spoil returns err unchanged, and so it does for a
// repository that is not ours.
func (o *DB) Spoil(err error) error {
	if o.where == nil || errors.Is(err, fs.ErrInvalid) || errors.Is(err, packfile.ErrTooLarge) {
		return err
	}
	o.spoiled.Store(&err)
	return OnCache("reading the Git cache", err)
}

// Damage returns the error of the last unreadable object; nil if there is none.
func (o *DB) Damage() error {
	if err := o.spoiled.Load(); err != nil {
		return *err
	}
	return nil
}

// syncLoose makes a loose object durable. go-git writes it without fsync.
func (o *DB) syncLoose(h plumbing.Hash) error {
	name := hex.EncodeToString(h[:])
	dir := filepath.Join(o.dir, "objects", name[:2])
	f, err := os.Open(filepath.Join(dir, name[2:]))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return atomicfile.SyncDir(dir)
}

// syncNames makes the file names of a generation durable.
func (o *DB) syncNames() error {
	var err error
	for _, dir := range []string{"objects/pack", "objects", "."} {
		e := atomicfile.SyncDir(filepath.Join(o.dir, dir))
		// A generation without packs has no objects/pack.
		if !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// whole checks that the cache has every object of the head, with the bytes that its hash
// names.
func (s *Store) whole() error {
	list, left, err := s.live(s.State.Head)
	if err != nil {
		return err
	}
	if left > 0 { // live left out a large object, but the damage may be its size
		if err := s.sumPacks(); err != nil {
			return err
		}
	}
	for _, h := range list {
		kind, data, err := s.any(h)
		if err != nil {
			return err
		}
		if plumbing.ComputeHash(kind, data) != h {
			return fmt.Errorf("reading %s %s: its bytes are not those that its hash names", kind, h)
		}
	}
	return nil
}

// sumPacks checks each pack against its trailing checksum (gitformat-pack(5)). It reads only
// the bytes on the disk, whatever sizes the objects claim.
func (o *DB) sumPacks() error {
	packs, err := filepath.Glob(filepath.Join(packfile.EscapeGlob(o.dir), "objects", "pack", "*.pack"))
	if err != nil {
		return err
	}
	for _, name := range packs {
		if err := sumPack(name); err != nil {
			return err
		}
	}
	return nil
}

// sumPack checks one pack. Its last 20 bytes are the SHA-1 of all bytes before them.
func sumPack(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	sum := sha1.New() //nolint:gosec // Git's checksum against accidents
	if _, err := io.CopyN(sum, f, info.Size()-sha1.Size); err != nil {
		return fmt.Errorf("reading the pack %s: %w", name, err)
	}
	trailer := make([]byte, sha1.Size)
	if _, err := io.ReadFull(f, trailer); err != nil {
		return fmt.Errorf("reading the pack %s: %w", name, err)
	}
	if !bytes.Equal(sum.Sum(nil), trailer) {
		return fmt.Errorf("reading the pack %s: its bytes are not those that its checksum names", name)
	}
	return nil
}

// Mend drops all objects with a warning, after Damage. The next fetch brings them again.
func (s *Store) Mend(err error) error {
	s.log.Warn("the Git cache is damaged; fetching it again", "cache", s.place(), "error", err)
	return s.Renew()
}

// place returns the cache's directory for a log message.
func (s *Store) place() string {
	if s.base == "" {
		return "memory"
	}
	return filepath.Join(s.base, strconv.Itoa(s.State.Generation))
}

// Abandon gives up a directory that certroll cannot write, with a warning, and goes on in
// memory.
func (s *Store) Abandon(err error) {
	s.log.Warn("the Git cache cannot be written; certroll fetches the whole repository instead", "cache", s.base, "error", err, "advice", fault.DiskAdvice(err))
	if s.DB != nil { // nil if open failed
		s.DB.Close()
	}
	if s.scratch {
		_ = os.RemoveAll(s.base)
	}
	if s.lock != nil {
		_ = s.lock.Release()
	}
	s.base, s.lock, s.scratch, s.bound = "", nil, false, s.bound.InMemory()
	_ = s.Renew() // opening a store in memory cannot fail
}

// logger returns log, or a logger that discards everything.
func logger(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
