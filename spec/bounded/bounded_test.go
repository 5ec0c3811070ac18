package bounded

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := File(file, 5); err != nil || string(b) != "12345" {
		t.Errorf("read %q, %v", b, err)
	}
	var large *TooLargeError
	if b, err := File(file, 4); b != nil || !errors.As(err, &large) || large.Most != 4 || !strings.Contains(err.Error(), file) {
		t.Errorf("too large: %q, %v", b, err)
	}
	if _, err := File("/dev/zero", 1<<16); !errors.As(err, &large) {
		t.Errorf("a device without an end: %v", err)
	}
	if _, err := File(file+"x", 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := File(t.TempDir(), 5); err == nil || strings.Count(err.Error(), "read ") != 1 {
		t.Errorf("a directory: %v", err)
	}
}

// TestFilePipes: File reads a pipe to its end. A pipe without a writer is empty; a pipe that stays open fails after a
// time limit.
func TestFilePipes(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	if b, err := File(pipe, 5); err != nil || len(b) > 0 {
		t.Errorf("without a writer: %q, %v", b, err)
	}
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := FileWithin(pipe, 5, time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a pipe that stays open: %v", err)
	}
}

func TestReader(t *testing.T) {
	for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader, func(r io.Reader) io.Reader { return r }} {
		if b, err := io.ReadAll(Reader(wrap(strings.NewReader("12345")), 5)); err != nil || string(b) != "12345" {
			t.Errorf("read %q, %v", b, err)
		}
		var large *TooLargeError
		if b, err := io.ReadAll(Reader(wrap(strings.NewReader("123456")), 5)); !errors.As(err, &large) || string(b) != "12345" {
			t.Errorf("read %q, %v", b, err)
		}
		if b, err := All(wrap(strings.NewReader("123456")), 5); b != nil || !errors.As(err, &large) {
			t.Errorf("all: %q, %v", b, err)
		}
	}
}

// TestRegular: a regular file and a link to one pass; anything that an open could block on fails.
func TestRegular(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("12345"), 0o600), os.Symlink(file, link), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link} {
		if err := Regular(path, 5); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, want := range map[string]string{pipe: "no regular file", dir: "no regular file", "/dev/zero": "no regular file", file + "x": "no such file"} {
		if err := Regular(path, 5); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	var large *TooLargeError
	if err := Regular(file, 4); !errors.As(err, &large) {
		t.Errorf("too large: %v", err)
	}
}
