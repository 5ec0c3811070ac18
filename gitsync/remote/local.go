package remote

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// localConnector runs git's own programs on a repository on this machine.
type localConnector struct{ path string }

func (c localConnector) Upload(ctx context.Context) (transport.UploadPackSession, error) {
	return c.run(ctx, "upload-pack")
}

func (c localConnector) Receive(ctx context.Context) (transport.ReceivePackSession, error) {
	return c.run(ctx, "receive-pack")
}

func (c localConnector) run(ctx context.Context, service string) (*stream, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("a repository at a local path needs the git program: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, git, service, c.path)
	cmd.Env = cleanEnv(os.Environ())
	// A hook may leave a child process that keeps the pipes open, and Wait would wait for
	// it.
	cmd.WaitDelay = 2 * time.Second
	p := program{stderr: &Words{}, wait: cmd.Wait, kill: cancel}
	cmd.Stderr = p.stderr
	if p.in, err = cmd.StdinPipe(); err == nil {
		p.out, err = cmd.StdoutPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("starting git %s: %w", service, err)
	}
	return newStream(ctx, p), nil
}

// cleanEnv removes git's variables, because inside a hook they point git at another
// repository. It also selects English messages, which phrases needs.
func cleanEnv(env []string) []string {
	clean := []string{"LC_ALL=C"}
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		// GIT_CONFIG* carries the operator's settings, such as safe.directory.
		keep := name == "GIT_EXEC_PATH" || strings.HasPrefix(name, "GIT_CONFIG")
		if name != "LC_ALL" && (keep || !strings.HasPrefix(name, "GIT_")) {
			clean = append(clean, v)
		}
	}
	return clean
}
