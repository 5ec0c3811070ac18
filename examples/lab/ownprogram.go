package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// ownProgram is a program of this repository that tests start. It is built from the
// working tree, once per process, and never taken from CERTROLL_LAB_BIN or the PATH: it
// must match the certroll under test.
type ownProgram struct {
	name, module, pkg string // the module's directory, relative to the repository
	tags              string

	once sync.Once
	path string
	err  error
}

var (
	dnsProgram    = ownProgram{name: "certroll-dns", module: ".", pkg: "./cmd/certroll-dns"}
	fewProviders  = ownProgram{name: "certroll-dns-few", module: ".", pkg: "./cmd/certroll-dns", tags: "labproviders"}
	browserDriver = ownProgram{name: "browser", module: "examples/lab/browser", pkg: "."}
)

// DNSProgram builds certroll-dns and returns its path. Go's build cache makes repeated
// builds cheap.
func DNSProgram(ctx context.Context) (string, error) { return dnsProgram.built(ctx) }

// FewProviders builds a certroll-dns with only the providers of the lab's tests. This
// saves compiling a thousand packages.
func FewProviders(ctx context.Context) (string, error) { return fewProviders.built(ctx) }

// BrowserDriver builds the program that drives a browser for tests.
func BrowserDriver(ctx context.Context) (string, error) { return browserDriver.built(ctx) }

func (p *ownProgram) built(ctx context.Context) (string, error) {
	p.once.Do(func() {
		if p.path, p.err = p.build(ctx); p.err != nil {
			p.err = fmt.Errorf("building %s: %w", p.name, p.err)
		}
	})
	return p.path, p.err
}

func (p *ownProgram) build(ctx context.Context) (path string, err error) {
	dir := builtDir()
	if dir == "" {
		return "", errors.New("the working directory is outside certroll's source")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Tests of several packages run at the same time: one builds, and the others wait for
	// the lock.
	lock, err := os.OpenFile(filepath.Join(dir, "."+p.name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.Close()) }() // closing unlocks the file
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	path = filepath.Join(dir, p.name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", p.tags, "-o", path, p.pkg)
	cmd.Dir = filepath.Join(dir, "..", "..", "..", p.module)
	// The same setting as in make build, so that both share the build cache.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}
