package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// CreateBare creates a bare repository dir/name.git with the default branch main and
// returns its path. The name may already end in ".git".
func CreateBare(dir, name string) (string, error) {
	ctx, path := context.Background(), barePath(dir, name)
	if _, err := Git(ctx, "", "init", "--quiet", "--bare", "--initial-branch=main", path); err != nil {
		return "", err
	}
	// git refuses pushes over HTTP by default; the server authenticates them.
	_, err := Git(ctx, path, "config", "http.receivepack", "true")
	return path, err
}

// Push commits files, by path and content, to a branch of the repository at a path or URL
// and pushes it. It creates the branch if there is none.
func Push(ctx context.Context, repo, branch string, files map[string]string, message string) error {
	return commit(ctx, repo, branch, message, func(tree string) error {
		for name, content := range files {
			path := filepath.Join(tree, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

// Remove commits the removal of files from a branch and pushes it.
func Remove(ctx context.Context, repo, branch, message string, files ...string) error {
	return commit(ctx, repo, branch, message, func(tree string) error {
		for _, name := range files {
			if err := os.Remove(filepath.Join(tree, filepath.FromSlash(name))); err != nil {
				return err
			}
		}
		return nil
	})
}

// commit changes a branch in a temporary work tree.
func commit(ctx context.Context, repo, branch, message string, change func(tree string) error) error {
	tree, err := os.MkdirTemp("", "certroll-lab-tree-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tree) }()
	run := func(args ...string) (string, error) { return Git(ctx, tree, args...) }
	if _, err := run("init", "--quiet", "--initial-branch="+branch); err != nil {
		return err
	}
	refs, err := run("ls-remote", "--heads", repo, "refs/heads/"+branch)
	if err != nil {
		return err
	}
	if refs != "" {
		if _, err := run("pull", "--quiet", "--ff-only", repo, branch); err != nil {
			return err
		}
	}
	if err := change(tree); err != nil {
		return fmt.Errorf("changing files for branch %s: %w", branch, err)
	}
	for _, args := range [][]string{
		{"add", "--all"}, {"commit", "--quiet", "--message", message}, {"push", "--quiet", repo, "HEAD:refs/heads/" + branch},
	} {
		if _, err := run(args...); err != nil {
			return err
		}
	}
	return nil
}

// Show returns the content of a file at a revision of a repository on disk.
func Show(ctx context.Context, repo, rev, path string) (string, error) {
	return Git(ctx, repo, "show", rev+":"+path)
}

// Head returns the hash of the commit at a revision, such as a branch, of a repository on
// disk.
func Head(ctx context.Context, repo, rev string) (string, error) {
	return Git(ctx, repo, "rev-parse", "--verify", rev+"^{commit}")
}

// Git runs git in a directory, which may be a bare repository, without the user's
// configuration, and returns its output.
func Git(ctx context.Context, dir string, args ...string) (string, error) {
	return gitWith(ctx, dir, nil, args...)
}

// gitWith is Git with additional environment variables.
func gitWith(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	path, err := Find("git")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = dir
	cmd.Env = append(gitEnv(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimRight(stdout.String(), "\n"), nil
}

// gitEnv isolates git from the machine's configuration and from any terminal.
func gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Lab", "GIT_AUTHOR_EMAIL=lab@example.com",
		"GIT_COMMITTER_NAME=Lab", "GIT_COMMITTER_EMAIL=lab@example.com",
	}
}
