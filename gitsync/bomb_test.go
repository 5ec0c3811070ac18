//go:build linux

package gitsync

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/gitsync/fault"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
	"certroll/gitsync/remote"
	"certroll/gitsync/signature"
)

// mostMemory is the most memory that a reconciler may need, whatever is pushed.
const mostMemory = 200 << 20

// bombs are the functions that a child process runs while the test measures its memory.
var bombs = map[string]func() error{
	"source":       bombSource,
	"ledger":       bombLedger,
	"checkout":     bombCheckout,
	"deltas":       func() error { return bombPack(deltaBomb) },
	"delta stream": func() error { return bombPack(deltaStreamBomb) },
	"many":         func() error { return bombPack(manyObjects(900_000)) },
	"too many":     func() error { return bombPack(manyObjects(1_000_001)) },
	"claim":        func() error { return bombPack(claimBomb) },
	"large tree":   bombTree,
}

// TestBombChild is not a test: inChild runs it in a child process.
func TestBombChild(t *testing.T) {
	name := os.Getenv("CERTROLL_TEST_BOMB")
	if name == "" {
		t.Skip("run by other tests")
	}
	if err := bombs[name](); err != nil {
		fmt.Println("ENDED WITH", err)
	} else {
		fmt.Println("ENDED WELL")
	}
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println("PEAK", rest)
}

// inChild runs a bomb in a child process and compares its memory use with mostMemory. The child reads its own peak: the
// rusage of an ended child includes its parent's memory from before exec.
func inChild(t *testing.T, bomb string, env ...string) string {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestBombChild$", "-test.v")
	cmd.Env = append(os.Environ(), append(env, "CERTROLL_TEST_BOMB="+bomb, "TMPDIR="+t.TempDir())...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said, status, _ := strings.Cut(string(out), "PEAK ")
	var peak int64
	_, err = fmt.Sscan(status, &peak)
	must(t, err)
	peak <<= 10 // in kB
	t.Logf("peak memory %d MB, CPU %s", peak>>20, cmd.ProcessState.UserTime())
	if peak > mostMemory && !raced {
		t.Errorf("it needed %d MB", peak>>20)
	}
	_, said, _ = strings.Cut(said, "ENDED ")
	return said
}

// pushZeros commits a file of zeros.
func (p place) pushZeros(t testing.TB, branch, file string, size int64) {
	t.Helper()
	must(t, lab.PushZeros(t.Context(), p.path, branch, file, size))
}

// huge is larger than a file that compresses this well may be, and still quick to push.
const huge = 600_000_000

func bombSource() error {
	o := SourceOptions{URL: os.Getenv("BOMB_URL"), Auth: remote.Auth{Username: os.Getenv("BOMB_USER"), Token: os.Getenv("BOMB_TOKEN")}}
	if os.Getenv("BOMB_SIGNED") != "" {
		o.Signers = &signature.Signers{AllowedSigners: os.Getenv("BOMB_SIGNED")}
	}
	s, err := OpenSource(o)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Fetch(context.Background())
	return err
}

// TestPushOfZerosIsRefused: a pushed file of zeros is a few megabytes of pack and more memory than the machine has. The
// fetch rejects it by size, names it, and never holds it in memory.
func TestPushOfZerosIsRefused(t *testing.T) {
	t.Parallel()
	signers := t.TempDir() + "/signers"
	must(t, os.WriteFile(signers, nil, 0o600))
	most := int64(1_500_000_000)
	if labtest.Only() { // labtest.Only leaves out slow cases
		most = huge
	}
	for name, tc := range map[string]struct {
		size    int64
		signers string
	}{"unsigned": {most, ""}, "before the signature": {huge, signers}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := transports["http"](t)
			p.push(t, "main", map[string]string{"a.hcl": "a"})
			p.pushZeros(t, "main", "sub/big.bin", tc.size)
			said := inChild(t, "source", "BOMB_URL="+p.url, "BOMB_USER="+p.auth.Username, "BOMB_TOKEN="+p.auth.Token, "BOMB_SIGNED="+tc.signers)
			if !strings.Contains(said, "too large") || !strings.Contains(said, "sub/big.bin (object ") || !strings.Contains(said, fmt.Sprint(tc.size, " bytes")) {
				t.Errorf("it ended with %s", said)
			}
		})
	}
}

// noise commits an incompressible file, like an archive or an image. The same seed gives the same bytes.
func (p place) noise(t testing.TB, file string, size int, seed byte) {
	t.Helper()
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // never fails
	p.push(t, "main", map[string]string{file: string(b)})
}

// TestLargeFilesThatAreNotRead: a monorepo may contain files above the limit, and they stay packed. A large HCL file is
// read, so it is rejected by name.
func TestLargeFilesThatAreNotRead(t *testing.T) {
	t.Parallel()
	overAll(t, func(t *testing.T, p place) {
		p.push(t, "main", map[string]string{"a.hcl": "a"})
		p.noise(t, "sub/image.bin", 3<<20, 1)
		s := p.source(t, SourceOptions{Limits: Limits{Object: 1 << 20}})
		if rev := fetch(t, s); contents(rev) != "a.hcl=a" {
			t.Errorf("got %s", contents(rev))
		}
		p.noise(t, "sub/image.bin", 3<<20, 2)
		p.push(t, "main", map[string]string{"a.hcl": "b"})
		if rev := fetch(t, s); contents(rev) != "a.hcl=b" {
			t.Errorf("then got %s", contents(rev))
		}
		p.noise(t, "sub/image.hcl", 3<<20, 3)
		_, err := s.Fetch(t.Context())
		failure(t, err, fault.TooLarge, "sub/image.hcl has 3145728 bytes, and a file may have 1048576")
	})
}

// TestTooLargeIsGoneAgain: the source does not fetch the same oversized revision twice. Once the head no longer
// contains the file, the source accepts the next revision although the history contains it.
func TestTooLargeIsGoneAgain(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		if p.url == p.path {
			t.Skip("a local path fetches nothing")
		}
		good := p.push(t, "main", map[string]string{"a.hcl": "a"})
		s := p.source(t, SourceOptions{Limits: Limits{Object: 1 << 20}})
		fetch(t, s)
		p.pushZeros(t, "main", "sub/big.bin", 3<<20)
		_, err := s.Fetch(t.Context())
		failure(t, err, fault.TooLarge, "sub/big.bin (object ", "3145728 bytes", "push")
		if _, again := s.Fetch(t.Context()); again == nil || again.Error() != err.Error() {
			t.Errorf("asked again: %v", again)
		}
		mended := p.git(t, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit-tree", "-m", "Take it out", "-p", "main", good+"^{tree}")
		p.git(t, "update-ref", "refs/heads/main", mended)
		if rev := fetch(t, s); contents(rev) != "a.hcl=a" || rev.Commit != mended {
			t.Errorf("got %s of %s", contents(rev), rev.Commit)
		}
	})
}

func bombLedger() error {
	l, err := OpenLedger(LedgerOptions{URL: os.Getenv("BOMB_URL"), Auth: remote.Auth{Username: os.Getenv("BOMB_USER"), Token: os.Getenv("BOMB_TOKEN")}})
	if err != nil {
		return err
	}
	defer l.Close()
	tree, _, err := l.Snapshot(context.Background())
	if err != nil {
		return err
	}
	if b, err := fs.ReadFile(tree, "certificates/a.json"); err != nil || string(b) != "{}" {
		return fmt.Errorf("the record beside it: %q, %w", b, err)
	}
	_, err = fs.ReadFile(tree, "certificates/big.json")
	if err == nil || !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("the large one: %w", err)
	}
	_, err = l.Commit(context.Background(), "Go on", func(fs.FS) (map[string][]byte, error) {
		return map[string][]byte{"certificates/b.json": []byte("{}")}, nil
	})
	return err
}

// TestZerosInTheLedgerStopNothing: an oversized file in the ledger is an unreadable file and does not stop anything
// else.
func TestZerosInTheLedgerStopNothing(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{huge, objects.MaxFile + 1} {
		p := transports["http"](t)
		p.push(t, DefaultBranch, map[string]string{"certificates/a.json": "{}"})
		p.pushZeros(t, DefaultBranch, "certificates/big.json", size)
		said := inChild(t, "ledger", "BOMB_URL="+p.url, "BOMB_USER="+p.auth.Username, "BOMB_TOKEN="+p.auth.Token)
		if !strings.HasPrefix(said, "WELL") {
			t.Errorf("%d bytes: it ended with %s", size, said)
		}
		if got := p.git(t, "show", DefaultBranch+":certificates/b.json"); got != "{}" {
			t.Errorf("nothing was pushed: %q", got)
		}
	}
}

// bombPack stores the written objects as a pack in a Source's store.
func bombPack(write func(w io.Writer) error) error {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	s, err := objects.Open(dir, "bomb", "", Limits{Inflated: 3 << 30}.withDefaults().bounds(), nil)
	if err != nil {
		return err
	}
	defer s.Close()
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(write(w)) }()
	if err := s.AddPack(context.Background(), r); err != nil {
		return err
	}
	list, err := filepath.Glob(filepath.Join(dir, "*", "1", "objects", "pack", "*"))
	fmt.Println(len(list), "files; deltas stay packed:", s.StaysPacked())
	// Every stored object can be looked up.
	s.Has(plumbing.ComputeHash(plumbing.BlobObject, []byte("0")))
	return err
}

// copies returns a delta that builds size bytes by copying the beginning of its base again and again.
func copies(base, size int) []byte {
	d := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(base)), uint64(size))
	const step = 0xffffff
	for size > 0 {
		n := min(step, size, base)
		d = append(d, 0x80|0x70, byte(n), byte(n>>8), byte(n>>16))
		size -= n
	}
	return d
}

// deltaBomb writes a base of 16 MB and small deltas that expand to 2,000 objects of 16 MB and 2,000 objects of 400 MB.
func deltaBomb(w io.Writer) error {
	const n, small = 2000, 16 << 20
	p, err := packfile.NewWriter(w, 2*n+1)
	if err != nil {
		return err
	}
	first := bytes.Repeat([]byte{0}, small)
	err = p.Whole(plumbing.BlobObject, first)
	at := plumbing.ComputeHash(plumbing.BlobObject, first)
	for i := 0; i < n && err == nil; i++ {
		err = p.Delta(at, copies(small, small-i-1))
	}
	for i := 0; i < n && err == nil; i++ {
		err = p.Delta(at, copies(small, large+i))
	}
	return errors.Join(err, p.Close())
}

// large is more than the available memory, and quick to make.
const large = 400_000_000

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// deltaStreamBomb writes a delta that is itself large.
func deltaStreamBomb(w io.Writer) error {
	p, err := packfile.NewWriter(w, 2)
	if err != nil {
		return err
	}
	base := []byte("base, of some length")
	err = p.Whole(plumbing.BlobObject, base)
	b := plumbing.ComputeHash(plumbing.BlobObject, base)
	if _, werr := p.Write(append(packfile.EntryHead(plumbing.REFDeltaObject, large), b[:]...)); werr != nil {
		return werr
	}
	z := zlib.NewWriter(p)
	head := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), 100)
	_, werr := io.Copy(z, io.MultiReader(bytes.NewReader(head), io.LimitReader(zeros{}, large-int64(len(head)))))
	return errors.Join(err, werr, z.Close(), p.Close())
}

// manyObjects writes n blobs of the smallest size.
func manyObjects(n int) func(io.Writer) error {
	return func(w io.Writer) error {
		p, err := packfile.NewWriter(w, n)
		for i := 0; i < n && err == nil; i++ {
			err = stored(p, fmt.Appendf(nil, "%d", i))
		}
		return errors.Join(err, p.Close())
	}
}

// stored writes a blob without compression (RFC 1950, RFC 1951 section 3.2.4), because compressing a million blobs
// takes a minute.
func stored(p *packfile.Writer, data []byte) error {
	b := append(packfile.EntryHead(plumbing.BlobObject, len(data)), 0x78, 0x01, 1)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	b = binary.LittleEndian.AppendUint16(b, ^uint16(len(data)))
	b = binary.BigEndian.AppendUint32(append(b, data...), adler32.Checksum(data))
	_, err := p.Write(b)
	return err
}

// claimBomb claims the largest permitted number of objects and one object of the largest size that the format can
// express.
func claimBomb(w io.Writer) error {
	p, err := packfile.NewWriter(w, 1_000_000)
	if err == nil {
		_, err = p.Write(packfile.EntryHead(plumbing.BlobObject, 1<<50))
	}
	return errors.Join(err, p.Close())
}

// bombTree writes a large tree object.
func bombTree() error {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	b := Limits{}.withDefaults().bounds()
	b.Object = 4 << 30 // only read later
	s, err := objects.Open(dir, "bomb", "", b, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	h := plumbing.NewHasher(plumbing.TreeObject, large)
	_, _ = io.Copy(h, io.LimitReader(zeros{}, large))
	tree := h.Sum()
	r, w := io.Pipe()
	go func() {
		p, err := packfile.NewWriter(w, 1)
		_, _ = p.Write(packfile.EntryHead(plumbing.TreeObject, large))
		z := zlib.NewWriter(p)
		_, cerr := io.Copy(z, io.LimitReader(zeros{}, large))
		_ = w.CloseWithError(errors.Join(err, cerr, z.Close(), p.Close()))
	}()
	if err := s.AddPack(context.Background(), r); err != nil {
		return err
	}
	_, err = s.Entries(tree)
	return err
}

// TestPackBombs: packs that expand far beyond their size do not use memory.
func TestPackBombs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"deltas":       "more than 3221225472 bytes together",
		"delta stream": "WELL",
		"many":         "WELL",
		"too many":     "1000001 objects, and may have 1000000",
		"claim":        "more than 3221225472 bytes together",
		"large tree":   "has 400000000 bytes, and one may have 16777216",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if (labtest.Only() || labtest.Race) && slices.Contains([]string{"deltas", "many"}, name) {
				t.Skip("takes long; `make integration` runs it")
			}
			if said := inChild(t, name); !strings.Contains(said, want) {
				t.Errorf("it ended with %s", said)
			}
		})
	}
}

// TestTreeBomb: reading a tree that has few objects but a huge number of paths ends early.
func TestTreeBomb(t *testing.T) {
	t.Parallel()
	bomb := func(p place, leaf string) {
		tip := p.push(t, "main", map[string]string{leaf: "x"})
		tree := p.git(t, "rev-parse", tip+"^{tree}")
		for range 10 {
			var list strings.Builder
			for i := range 10 {
				fmt.Fprintf(&list, "040000 tree %s\td%d\n", tree, i)
			}
			tree = mktree(t, p, list.String())
		}
		p.head(t, tree)
	}
	t.Run("files", func(t *testing.T) {
		p := local(t)
		bomb(p, "a.hcl")
		_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
		failure(t, err, fault.TooLarge, "there are more than 50000 *.hcl files")
	})
	t.Run("directories", func(t *testing.T) {
		p := local(t)
		bomb(p, "README")
		if rev := fetch(t, p.source(t, SourceOptions{})); len(rev.Files) > 0 {
			t.Errorf("got %s", contents(rev))
		}
	})
}

// head commits a tree as the head of main.
func (p place) head(t testing.TB, tree string) {
	t.Helper()
	commit := p.git(t, "-c", "user.name=x", "-c", "user.email=x@example.com", "commit-tree", "-m", "bomb", tree)
	p.git(t, "update-ref", "refs/heads/main", commit)
}

// TestDeepTree: directories nested without end are rejected and do not overflow the stack.
func TestDeepTree(t *testing.T) {
	p := transports["http"](t)
	tip := p.push(t, "main", map[string]string{"a.hcl": "x"})
	tree := p.git(t, "rev-parse", tip+"^{tree}")
	for range 300 {
		tree = mktree(t, p, "040000 tree "+tree+"\td\n")
	}
	p.head(t, tree)
	_, err := p.source(t, SourceOptions{}).Fetch(t.Context())
	failure(t, err, fault.TooLarge, "nest deeper than 64")
}
