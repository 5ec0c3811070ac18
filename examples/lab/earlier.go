package lab

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// earlier caches certroll programs built from earlier commits, by commit.
var earlier struct {
	sync.Mutex
	built map[string]string
}

// Earlier builds certroll from a commit of this repository's history and returns its
// path. The program stays in examples/lab/bin: a commit never changes, so later runs
// reuse it.
func Earlier(ctx context.Context, commit string) (string, error) {
	earlier.Lock()
	defer earlier.Unlock()
	if path := earlier.built[commit]; path != "" {
		return path, nil
	}
	path, err := buildEarlier(ctx, commit)
	if err != nil {
		return "", fmt.Errorf("building certroll of commit %.12s: %w", commit, err)
	}
	if earlier.built == nil {
		earlier.built = map[string]string{}
	}
	earlier.built[commit] = path
	return path, nil
}

func buildEarlier(ctx context.Context, commit string) (path string, err error) {
	dir := builtDir()
	if dir == "" {
		return "", errors.New("the working directory is outside certroll's source")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path = filepath.Join(dir, "certroll-"+commit[:12])
	lock, err := os.OpenFile(filepath.Join(dir, "."+filepath.Base(path)+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // closing unlocks the file
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	source, err := os.MkdirTemp("", "certroll-earlier-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(source)) }()
	if err := archive(ctx, filepath.Join(dir, "..", "..", ".."), commit, source); err != nil {
		return "", err
	}
	// Build under another name: an interrupted build must not leave a partial program.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path+".new", "./cmd/certroll")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, os.Rename(path+".new", path)
}

// archive extracts the files of a commit below a directory.
func archive(ctx context.Context, repo, commit, to string) error {
	if _, err := Git(ctx, repo, "cat-file", "-e", commit+"^{commit}"); err != nil {
		return fmt.Errorf("the history of %s does not reach back to it, as in a shallow clone; run git fetch --unshallow there: %w", repo, err)
	}
	git, err := Find("git")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, git, "archive", "--format=tar", commit)
	cmd.Dir, cmd.Env = repo, gitEnv()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("git archive: %w", err)
	}
	err = extract(out, to)
	_, _ = io.Copy(io.Discard, out) // git would block without a reader
	return errors.Join(err, cmd.Wait())
}

func extract(r io.Reader, to string) error {
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(filepath.Clean(h.Name), 0o755)
		case tar.TypeReg:
			err = extractFile(root, h.Name, t)
		}
		if err != nil {
			return err
		}
	}
}

func extractFile(root *os.Root, name string, r io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
