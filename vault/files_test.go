package vault

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFilesOfTLSAreFiles: a pipe, a directory or a device in place of a certificate or key gives an error with the
// setting and the path, and never blocks.
func TestFilesOfTLSAreFiles(t *testing.T) {
	pipes, dir := t.TempDir(), t.TempDir()
	pipe := filepath.Join(pipes, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		options Options
		env     map[string]string
		want    []string
	}{
		"the CA":          {options: Options{CACert: pipe}, want: []string{"ca_cert", pipe, "no regular file"}},
		"a directory":     {options: Options{CACert: dir}, want: []string{"ca_cert", dir, "no regular file"}},
		"the certificate": {options: Options{ClientCert: "/dev/zero", ClientKey: pipe}, want: []string{"client_cert", "/dev/zero"}},
		"the key":         {options: Options{ClientKey: pipe}, want: []string{"client_key", pipe}},
		"a variable":      {env: map[string]string{"VAULT_CACERT": pipe}, want: []string{"VAULT_CACERT", pipe}},
		"of a directory":  {env: map[string]string{"VAULT_CAPATH": pipes}, want: []string{"VAULT_CAPATH", pipe}},
		"missing":         {options: Options{CACert: pipe + "x"}, want: []string{"ca_cert", pipe + "x", "no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			done := make(chan error, 1)
			go func() {
				_, err := New(tc.options)
				done <- err
			}()
			select {
			case err := <-done:
				for _, want := range tc.want {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want %s", err, want)
					}
				}
			case <-time.After(10 * time.Second):
				_ = os.WriteFile(pipe, nil, 0o600) // unblock the reader
				t.Fatal("it is waited for")
			}
		})
	}
}
