package remote

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"certroll/gitsync/fault"
	"certroll/gitsync/gitsynctest"
)

// TestKnownHostsFileIsNone: a pipe, a directory or a device in place of the file that certroll.hcl names gives an error with its
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
			_, err := hostKeys{files: []string{file}, named: true, addr: "git.example.com:22"}.open()
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

// TestKnownHostsPassedOver: the null device counts as an empty file, also if certroll.hcl names it. A default file that is
// no regular file counts as empty too. The keys of the other file still count, and the advice names a file that keeps a key.
func TestKnownHostsPassedOver(t *testing.T) {
	dir := t.TempDir()
	null, pipe, system := filepath.Join(dir, "null"), filepath.Join(dir, "pipe"), filepath.Join(dir, "ssh_known_hosts")
	const known = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n"
	gitsynctest.Must(t, os.Symlink(os.DevNull, null))
	gitsynctest.Must(t, syscall.Mkfifo(pipe, 0o600))
	gitsynctest.Must(t, os.WriteFile(system, []byte(known), 0o600))
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(strings.TrimPrefix(known, "git.example.com ")))
	gitsynctest.Must(t, err)
	for _, user := range []string{null, pipe, dir, os.DevNull} {
		check, err := hostKeys{files: []string{user, system}, addr: "git.example.com:22"}.open()
		if err != nil {
			t.Errorf("%s: %v", user, err)
			continue
		}
		if err := check.callback("git.example.com:22", &net.TCPAddr{}, key); err != nil {
			t.Errorf("%s: the key of %s does not count: %v", user, system, err)
		}
		if err := check.callback("other.example.com:22", &net.TCPAddr{}, key); err == nil || !strings.Contains(check.explain(err).Error(), ">> "+system) {
			t.Errorf("%s: the advice for an unknown host: %v", user, check.explain(err))
		}
	}
	for _, file := range []string{null, os.DevNull} {
		check, err := hostKeys{files: []string{file}, named: true, addr: "git.example.com:22"}.open()
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		gitsynctest.Failure(t, check.explain(check.callback("git.example.com:22", &net.TCPAddr{}, key)), fault.HostUnknown, file)
	}
}
