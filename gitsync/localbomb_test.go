//go:build linux

package gitsync

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"certroll/examples/lab"
	"certroll/examples/lab/labtest"
	"certroll/gitsync/objects"
	"certroll/gitsync/packfile"
)

// tooBig is larger than mostMemory, and quick to make.
const tooBig = 250_000_000

// plant has git itself store a pack in the repository, as it does for a push.
func (p place) plant(t *testing.T, write func(*packfile.Writer) error, n int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "index-pack", "--stdin")
	cmd.Dir = p.path
	r, w := io.Pipe()
	cmd.Stdin = r
	go func() {
		pack, err := packfile.NewWriter(w, n)
		if err == nil {
			err = errors.Join(write(pack), pack.Close())
		}
		_ = w.CloseWithError(err)
	}()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// declares makes the blob the content of a.hcl at the head of main.
func (p place) declares(t *testing.T, blob plumbing.Hash) {
	t.Helper()
	p.head(t, mktree(t, p, "100644 blob "+blob.String()+"\ta.hcl\n"))
}

// noughts writes an object of zeros without holding it in memory.
func noughts(p *packfile.Writer, kind plumbing.ObjectType, size int64) (plumbing.Hash, error) {
	h := plumbing.NewHasher(kind, size)
	_, err := p.Write(packfile.EntryHead(kind, int(size)))
	z := zlib.NewWriter(p)
	_, cerr := io.Copy(io.MultiWriter(z, h), io.LimitReader(zeros{}, size))
	return h.Sum(), errors.Join(err, cerr, z.Close())
}

// loose stores a loose object with an arbitrary header.
func (p place) loose(t *testing.T, h plumbing.Hash, head string, size int64) {
	t.Helper()
	name := h.String()
	dir := filepath.Join(p.path, "objects", name[:2])
	must(t, os.MkdirAll(dir, 0o755))
	f, err := os.Create(filepath.Join(dir, name[2:]))
	must(t, err)
	z := zlib.NewWriter(f)
	_, err = io.Copy(z, io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, size)))
	must(t, errors.Join(err, z.Close(), f.Close()))
}

// zeroHash returns the hash of an object of zeros.
func zeroHash(kind plumbing.ObjectType, size int64) plumbing.Hash {
	h := plumbing.NewHasher(kind, size)
	_, _ = io.Copy(h, io.LimitReader(zeros{}, size)) // never fails
	return h.Sum()
}

// chainOf writes a blob and a chain of n deltas. Each delta inserts some zeros and copies the beginning of the one
// before. It returns the last one.
func chainOf(pack *packfile.Writer, n, size, inserted int) (plumbing.Hash, error) {
	data := bytes.Repeat([]byte("x"), size)
	err := pack.Whole(plumbing.BlobObject, data)
	at := plumbing.ComputeHash(plumbing.BlobObject, data)
	for i := 0; i < n && err == nil; i++ {
		d := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(size)), uint64(size))
		for left := inserted; left > 0; left -= 100 {
			d = append(append(d, 100), bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 50)...)
		}
		rest := size - inserted
		d = append(d, 0x80|0x70, byte(rest), byte(rest>>8), byte(rest>>16))
		err = pack.Delta(at, d)
		data = append(bytes.Repeat([]byte{byte(i), byte(i >> 8)}, inserted/2), data[:rest]...)
		at = plumbing.ComputeHash(plumbing.BlobObject, data)
	}
	return at, err
}

// localBombs are local repositories that expand far beyond their size, each with the expected result of reading it.
var localBombs = map[string]struct {
	want string
	make func(t *testing.T, p place)
}{
	"zeros": {"a.hcl has ", func(t *testing.T, p place) {
		size := int64(1_500_000_000)
		if labtest.Only() { // a smaller file in the quick suite
			size = huge
		}
		p.pushZeros(t, "main", "a.hcl", size)
	}},
	"zeros that are not read": {"WELL", func(t *testing.T, p place) { p.pushZeros(t, "main", "image.bin", huge) }},
	"base": {"too large to be read", func(t *testing.T, p place) {
		small := copies(tooBig, 10)
		p.plant(t, func(pack *packfile.Writer) error {
			h, err := noughts(pack, plumbing.BlobObject, tooBig)
			return errors.Join(err, pack.Delta(h, small))
		}, 2)
		p.declares(t, zeroHash(plumbing.BlobObject, 10))
	}},
	"result": {"a.hcl has 250000000 bytes", func(t *testing.T, p place) {
		p.plant(t, func(pack *packfile.Writer) error {
			h, err := noughts(pack, plumbing.BlobObject, 1<<20)
			return errors.Join(err, pack.Delta(h, copies(1<<20, tooBig)))
		}, 2)
		p.declares(t, zeroHash(plumbing.BlobObject, tooBig))
	}},
	"base that is a result": {"too large to be read", func(t *testing.T, p place) {
		p.plant(t, func(pack *packfile.Writer) error {
			h, err := noughts(pack, plumbing.BlobObject, 1<<20)
			return errors.Join(err, pack.Delta(h, copies(1<<20, tooBig)), pack.Delta(zeroHash(plumbing.BlobObject, tooBig), copies(tooBig, 10)))
		}, 3)
		p.declares(t, zeroHash(plumbing.BlobObject, 10))
	}},
	"delta": {"a.hcl has 125000000 bytes", func(t *testing.T, p place) {
		const size = 125_000_000
		p.plant(t, func(pack *packfile.Writer) error {
			base := []byte("base, of some length")
			b := plumbing.ComputeHash(plumbing.BlobObject, base)
			head := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(base))), size)
			err := pack.Whole(plumbing.BlobObject, base)
			_, werr := pack.Write(append(packfile.EntryHead(plumbing.REFDeltaObject, len(head)+2*size), b[:]...))
			z := zlib.NewWriter(pack)
			one := bytes.Repeat([]byte{1, 0}, 1000) // inserts a zero
			_, herr := z.Write(head)
			for range size / 1000 {
				if _, ierr := z.Write(one); ierr != nil {
					return ierr
				}
			}
			return errors.Join(err, werr, herr, z.Close())
		}, 2)
		p.declares(t, zeroHash(plumbing.BlobObject, size))
	}},
	"chain": {"WELL", func(t *testing.T, p place) {
		var last plumbing.Hash
		p.plant(t, func(pack *packfile.Writer) (err error) {
			last, err = chainOf(pack, 1000, 500_000, 250_000)
			return err
		}, 1001)
		p.declares(t, last)
	}},
	"long chain": {"a chain of more than 4096", func(t *testing.T, p place) {
		var last plumbing.Hash
		p.plant(t, func(pack *packfile.Writer) (err error) {
			last, err = chainOf(pack, objects.MostChain+1, 300, 200)
			return err
		}, objects.MostChain+2)
		p.declares(t, last)
	}},
	"loose": {"a.hcl has 250000000 bytes", func(t *testing.T, p place) {
		h := zeroHash(plumbing.BlobObject, tooBig)
		p.loose(t, h, fmt.Sprintf("blob %d\x00", tooBig), tooBig)
		p.declares(t, h)
	}},
	"loose without a head": {"an object without a head", func(t *testing.T, p place) {
		h := plumbing.NewHash(strings.Repeat("ab", 20))
		p.loose(t, h, "blob "+strings.Repeat("1", 1<<20), tooBig)
		p.declares(t, h)
	}},
	"loose that is longer than it says": {"more than the 10 bytes", func(t *testing.T, p place) {
		h := plumbing.NewHash(strings.Repeat("ab", 20))
		p.loose(t, h, "blob 10\x00", tooBig)
		p.declares(t, h)
	}},
	"commit": {"has 250000000 bytes, and one may have 4194304", func(t *testing.T, p place) {
		h := zeroHash(plumbing.CommitObject, tooBig)
		p.loose(t, h, fmt.Sprintf("commit %d\x00", tooBig), tooBig)
		must(t, os.WriteFile(filepath.Join(p.path, "refs", "heads", "main"), []byte(h.String()+"\n"), 0o600))
	}},
	"tree": {"has 250000000 bytes, and one may have 16777216", func(t *testing.T, p place) {
		h := zeroHash(plumbing.TreeObject, tooBig)
		p.loose(t, h, fmt.Sprintf("tree %d\x00", tooBig), tooBig)
		p.head(t, h.String())
	}},
}

// TestLocalBombs: reading a local repository stays within the same bounds as a fetch, whether the repository owns its
// objects or borrows them from another one.
func TestLocalBombs(t *testing.T) {
	for name, tc := range localBombs {
		t.Run(name, func(t *testing.T) {
			labtest.GitHTTP(t) // uses the lab's server: left out under -short
			if (labtest.Only() || labtest.Race) && name == "chain" {
				t.Skip("takes long; `make integration` runs it")
			}
			p := local(t)
			tc.make(t, p)
			head := p.git(t, "rev-parse", "refs/heads/main")
			places := map[string]place{"itself": p}
			if !labtest.Only() && !labtest.Race || name == "base" { // borrowed objects take the same code path: one bomb is enough
				places["absolute"] = borrower(t, p, head, p.path+"/objects")
				places["relative"] = borrower(t, p, head, "")
			}
			for kind, at := range places {
				if said := inChild(t, "source", "BOMB_URL="+at.path); !strings.Contains(said, tc.want) {
					t.Errorf("%s: it ended with %s", kind, said)
				}
			}
		})
	}
}

// borrower makes a repository without objects of its own that borrows another one's through alternates. With objects ""
// the path is relative to its own object directory.
func borrower(t *testing.T, from place, head, objects string) place {
	t.Helper()
	path, err := lab.CreateBare(t.TempDir(), "borrower")
	must(t, err)
	if objects == "" {
		objects, err = filepath.Rel(filepath.Join(path, "objects"), filepath.Join(from.path, "objects"))
		must(t, err)
	}
	must(t, os.WriteFile(filepath.Join(path, "objects", "info", "alternates"), []byte("# borrowed\n"+objects+"\n/not/there\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(path, "refs", "heads", "main"), []byte(head+"\n"), 0o600))
	return place{url: path, path: path}
}

// TestCheckoutBombs: CI compares a stranger's change in a checkout. Its history is bounded as well.
func TestCheckoutBombs(t *testing.T) {
	labtest.GitHTTP(t) // uses the lab's server: left out under -short
	p := local(t)
	base := p.push(t, "main", map[string]string{"a.hcl": "a"})
	tree := p.git(t, "rev-parse", base+"^{tree}")
	parent := zeroHash(plumbing.CommitObject, tooBig)
	p.loose(t, parent, fmt.Sprintf("commit %d\x00", tooBig), tooBig)
	raw := fmt.Sprintf("tree %s\nparent %s\nauthor x <x@example.com> 1700000000 +0000\ncommitter x <x@example.com> 1700000000 +0000\n\nchange\n", tree, parent)
	head := plumbing.ComputeHash(plumbing.CommitObject, []byte(raw))
	p.loose(t, head, fmt.Sprintf("commit %d\x00%s", len(raw), raw), 0)
	checkout := t.TempDir()
	_, err := lab.Git(t.Context(), checkout, "init", "-q", "-b", "change")
	must(t, err)
	dir := filepath.Join(checkout, ".git")
	must(t, os.WriteFile(filepath.Join(dir, "objects", "info", "alternates"), []byte(p.path+"/objects\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "refs", "heads", "change"), []byte(head.String()+"\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "refs", "heads", "main"), []byte(base+"\n"), 0o600))
	if said := inChild(t, "checkout", "BOMB_DIR="+checkout, "BOMB_BASE="+base); !strings.HasPrefix(said, "WELL") {
		t.Errorf("it ended with %s", said)
	}
}

// bombCheckout compares the checkout with main, which it finds whatever the history of HEAD contains.
func bombCheckout() error {
	c, err := OpenCheckout(os.Getenv("BOMB_DIR"))
	if err != nil {
		return err
	}
	rev, whole, err := c.Base("main")
	if err != nil || whole || rev.Commit != os.Getenv("BOMB_BASE") {
		return fmt.Errorf("got %+v, %v: %w", rev, whole, err)
	}
	return nil
}

// TestLocalRepositories: certroll reads the layouts that git creates over a repository's life in the same way as git:
// packs with both kinds of deltas, loose objects, linked work trees, and objects borrowed over several repositories.
func TestLocalRepositories(t *testing.T) {
	p := local(t)
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "# line %d of a file that changes a little\n", i*i)
	}
	push := func(i int) string {
		files := map[string]string{"b.hcl": fmt.Sprint(i)}
		for j := range 10 {
			files[fmt.Sprintf("d/f%d.hcl", j)] = fmt.Sprintf("%s# %d %d\n", text.String(), i, j)
		}
		return p.push(t, "main", files)
	}
	check := func(name, path string) {
		t.Helper()
		s, err := OpenSource(SourceOptions{URL: path})
		must(t, err)
		defer func() { must(t, s.Close()) }()
		rev := fetch(t, s)
		for _, f := range rev.Files {
			if want := p.git(t, "show", rev.Commit+":"+f.Path); strings.TrimRight(string(f.Bytes), "\n") != want {
				t.Errorf("%s: %s is another one", name, f.Path)
			}
		}
		if head := p.git(t, "rev-parse", "main"); rev.Commit != head || len(rev.Files) != 11 {
			t.Errorf("%s: commit %s with %d files, want %s with 11", name, rev.Commit, len(rev.Files), head)
		}
	}
	for i := range 4 {
		push(i)
		check("loose", p.path)
	}
	p.git(t, "repack", "-a", "-d", "-q", "--depth=50", "--window=50")
	check("packed", p.path)
	first := p.git(t, "rev-parse", "main")
	push(5)
	p.git(t, "-c", "repack.useDeltaBaseOffset=false", "repack", "-d", "-q")
	push(6)
	check("packed and loose", p.path)
	p.git(t, "-c", "repack.useDeltaBaseOffset=false", "repack", "-a", "-d", "-q", "-f")
	check("deltas by name", p.path)

	once := borrower(t, p, p.git(t, "rev-parse", "main"), p.path+"/objects")
	check("borrowed", once.path)
	check("borrowed twice", borrower(t, once, p.git(t, "rev-parse", "main"), "").path)

	tree := filepath.Join(t.TempDir(), "tree")
	p.git(t, "worktree", "add", "-q", "--detach", tree, "main")
	c, err := OpenCheckout(tree)
	must(t, err)
	rev, whole, err := c.Base(first)
	if err != nil || !whole || rev.Commit != first || len(rev.Files) != 11 {
		t.Errorf("a work tree: %+v, %v, %v", rev, whole, err)
	}
}

// TestALockIsNoRef: the lock file of a ref, of a running or killed git, does not prevent reading the other refs.
func TestALockIsNoRef(t *testing.T) {
	p := local(t)
	p.push(t, "main", map[string]string{"a.hcl": "a"})
	must(t, os.WriteFile(filepath.Join(p.path, "refs", "heads", "other.lock"), nil, 0o600))
	if rev := fetch(t, p.source(t, SourceOptions{})); contents(rev) != "a.hcl=a" {
		t.Errorf("got %s", contents(rev))
	}
}
