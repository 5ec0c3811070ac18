package bounded

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	// Secret is how many bytes a file of a credential may have: a token, a
	// passphrase, a list of addresses that hold one.
	Secret = 1 << 20
	// Named is how many bytes another file may have that our own settings name;
	// keyrings are the largest.
	Named = 16 << 20
	// State is how many bytes a file of certroll's own state may have: the last
	// good revision is the largest, with up to 256 MiB of HCL in base64.
	State = 512 << 20
)

// pipeTime is how long a pipe may take that stands in a file's place, as a shell's
// <(command) is one. The command may have to ask a key service first.
const pipeTime = 30 * time.Second

// TooLargeError says that there is more than was allowed.
type TooLargeError struct{ Most int64 }

func (e *TooLargeError) Error() string { return fmt.Sprintf("it has more than %d bytes", e.Most) }

// File reads a file of at most so many bytes. A pipe that nobody writes to is
// empty, one that stays open is given up after half a minute, and a device has
// an end.
func File(path string, most int64) ([]byte, error) { return FileWithin(path, most, pipeTime) }

// FileWithin is File where a pipe may take another time.
func FileWithin(path string, most int64, pipe time.Duration) ([]byte, error) {
	// To open a pipe that nobody writes to would wait for somebody.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	_ = f.SetReadDeadline(time.Now().Add(pipe)) // what knows none has an end
	b, err := All(f, most)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: path, Err: unwrapped(err)}
	}
	return b, nil
}

// namedPipeTime is how long a pipe may take that our own settings name.
const namedPipeTime = 5 * time.Second

// NamedFile reads a file that our own settings name. It is read in the midst of an
// operation, which may be whatever the file is: a pipe that nobody writes to is
// empty, one that stays open is given up, and a device has an end.
func NamedFile(path string) ([]byte, error) { return FileWithin(path, Named, namedPipeTime) }

// unwrapped is what went wrong, without the path, which is said once.
func unwrapped(err error) error {
	if p, ok := err.(*os.PathError); ok { //nolint:errorlint // os.File gives exactly this
		return p.Err
	}
	return err
}

// All reads to the end. More than so many bytes are a TooLargeError, and are not
// read.
func All(r io.Reader, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(b)) > most {
		return nil, &TooLargeError{most}
	}
	return b, err
}

// Reader passes on what it reads, and is a TooLargeError after so many bytes. Unlike
// io.LimitReader it does not make what is cut off look whole.
func Reader(r io.Reader, most int64) io.Reader { return &limited{r, most, most} }

type limited struct {
	r          io.Reader
	left, most int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, &TooLargeError{l.most}
	}
	// One byte more than is allowed tells whether there is more.
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left < 0 {
		return n - 1, &TooLargeError{l.most}
	}
	return n, err
}
