package bounded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	// Secret is the size limit of a credential file, in bytes: a token, a passphrase, or
	// a list of addresses that contain one.
	Secret = 1 << 20
	// Named is the size limit of other files that certroll.hcl names, in bytes; keyrings
	// are the largest.
	Named = 16 << 20
	// State is the size limit of certroll's own state files, in bytes: the last good
	// revision is the largest, with up to 256 MiB of HCL in base64.
	State = 512 << 20
)

// pipeTime is the time limit for a pipe in place of a file, such as a shell's <(command).
// The command may have to query a key service first.
const pipeTime = 30 * time.Second

// TooLargeError reports content of more than Most bytes.
type TooLargeError struct{ Most int64 }

func (e *TooLargeError) Error() string { return fmt.Sprintf("it has more than %d bytes", e.Most) }

// File reads a file of at most most bytes. A pipe without a writer reads as empty, and a
// pipe that stays open fails after pipeTime. A device without an end fails at most bytes.
func File(path string, most int64) ([]byte, error) { return FileWithin(path, most, pipeTime) }

// FileWithin is File with another time limit for pipes.
func FileWithin(path string, most int64, pipe time.Duration) ([]byte, error) {
	// Without O_NONBLOCK, opening a pipe waits until another process opens it for
	// writing.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	_ = f.SetReadDeadline(time.Now().Add(pipe)) // regular files support no deadline, and end by themselves
	b, err := All(f, most)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: unwrapped(err)}
	}
	return b, nil
}

// namedPipeTime is the time limit for a pipe that certroll.hcl names.
const namedPipeTime = 5 * time.Second

// NamedFile reads a file that certroll.hcl names. It runs in the middle of an operation,
// so its time limit for pipes is shorter than File's.
func NamedFile(path string) ([]byte, error) { return FileWithin(path, Named, namedPipeTime) }

// Regular returns an error unless path names a regular file of at most most bytes. It is for
// files that a library opens by their name: the library waits at a pipe for a writer without
// end, and reads a device without one. A link counts as its target.
func Regular(path string, most int64) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return &os.PathError{Op: "read", Path: path, Err: errors.New("it is no regular file")}
	case info.Size() > most:
		return &os.PathError{Op: "read", Path: path, Err: &TooLargeError{most}}
	}
	return nil
}

// unwrapped returns the cause without the path, because the caller adds the path.
func unwrapped(err error) error {
	if p, ok := err.(*os.PathError); ok { //nolint:errorlint // os.File gives exactly this
		return p.Err
	}
	return err
}

// All reads r to its end. It returns a TooLargeError for more than most bytes, and reads
// no further.
func All(r io.Reader, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, &TooLargeError{most}
	}
	return b, err
}

// Reader returns a reader that fails with a TooLargeError after most bytes.
// io.LimitReader would make the truncated content look complete.
func Reader(r io.Reader, most int64) io.Reader { return &limited{r, most, most} }

type limited struct {
	r          io.Reader
	left, most int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, &TooLargeError{l.most}
	}
	// Reading one byte more than allowed shows whether there is more.
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left < 0 {
		return n - 1, &TooLargeError{l.most}
	}
	return n, err
}
