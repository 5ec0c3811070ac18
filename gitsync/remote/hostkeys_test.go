package remote

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"certroll/gitsync/fault"
	"certroll/gitsync/gitsynctest"
)

// TestKnownHostsFileIsNone: a pipe, a directory or a device in place of the known_hosts file gives an error with its
// path, and never blocks.
func TestKnownHostsFileIsNone(t *testing.T) {
	dir := t.TempDir()
	pipe, huge := filepath.Join(dir, "pipe"), filepath.Join(dir, "huge")
	gitsynctest.Must(t, syscall.Mkfifo(pipe, 0o600))
	gitsynctest.Must(t, os.WriteFile(huge, nil, 0o600))
	gitsynctest.Must(t, os.Truncate(huge, 1<<30))
	for file, want := range map[string]string{pipe: "no regular file", dir: "no regular file", "/dev/zero": "no regular file", huge: "more than"} {
		done := make(chan error, 1)
		go func() {
			_, err := hostKeys{files: []string{file}, addr: "git.example.com:22"}.open()
			done <- err
		}()
		select {
		case err := <-done:
			gitsynctest.Failure(t, err, fault.Invalid, "reading the known hosts "+file, want, "known_hosts")
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is waited for", file)
		}
	}
}
