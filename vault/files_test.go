package vault

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
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
	pipes, dir, deep, links := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	pipe := filepath.Join(pipes, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(deep, "below"), 0o700), syscall.Mkfifo(filepath.Join(deep, "below", "pipe"), 0o600),
		os.Symlink(pipe, filepath.Join(links, "ca.0"))); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		options Options
		env     map[string]string
		want    []string
	}{
		"the CA":                  {options: Options{CACert: pipe}, want: []string{"ca_cert", pipe, "no regular file"}},
		"a directory":             {options: Options{CACert: dir}, want: []string{"ca_cert", dir, "no regular file"}},
		"the certificate":         {options: Options{ClientCert: "/dev/zero", ClientKey: pipe}, want: []string{"client_cert", "/dev/zero"}},
		"the key":                 {options: Options{ClientKey: pipe}, want: []string{"client_key", pipe}},
		"a variable":              {env: map[string]string{"VAULT_CACERT": pipe}, want: []string{"VAULT_CACERT", pipe}},
		"of a directory":          {env: map[string]string{"VAULT_CAPATH": pipes}, want: []string{"VAULT_CAPATH", pipe}},
		"of a subdirectory":       {env: map[string]string{"VAULT_CAPATH": deep}, want: []string{"VAULT_CAPATH", filepath.Join(deep, "below", "pipe"), "no regular file"}},
		"behind a link":           {options: Options{CAPath: links}, want: []string{"CAPath", filepath.Join(links, "ca.0"), "no regular file"}},
		"in place of a directory": {env: map[string]string{"VAULT_CAPATH": pipe}, want: []string{"VAULT_CAPATH", pipe, "no regular file"}},
		"missing":                 {options: Options{CACert: pipe + "x"}, want: []string{"ca_cert", pipe + "x", "no such file"}},
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

// TestUnreadDirectoryOfCAs: VAULT_CAPATH is not checked if VAULT_CACERT or VAULT_CACERT_BYTES wins over it. If it counts,
// the api package reports a mistake in it, and only pipes and devices are rejected before.
func TestUnreadDirectoryOfCAs(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file, good, broken := filepath.Join(t.TempDir(), "ca.pem"), t.TempDir(), t.TempDir()
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.Mkdir(filepath.Join(good, "below"), 0o700), os.Symlink(file, filepath.Join(good, "below", "ca.0")),
		os.Symlink("/nowhere", filepath.Join(broken, "dangling.0")), syscall.Mkfifo(filepath.Join(broken, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		options Options
		env     map[string]string
	}{
		"a file":                 {env: map[string]string{"VAULT_CACERT": file, "VAULT_CAPATH": broken}},
		"certificates":           {env: map[string]string{"VAULT_CACERT_BYTES": string(text), "VAULT_CAPATH": broken}},
		"a file of the settings": {options: Options{CACert: file, CAPath: broken}},
		"a good directory":       {env: map[string]string{"VAULT_CAPATH": good}},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			if _, err := New(tc.options); err != nil {
				t.Error(err)
			}
		})
	}
	if err := os.Remove(filepath.Join(broken, "pipe")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VAULT_CAPATH", broken)
	if _, err := New(Options{}); err == nil || !strings.Contains(err.Error(), "dangling.0") || !strings.Contains(err.Error(), "VAULT_* variables") {
		t.Errorf("a dangling link: %v", err)
	}
}
