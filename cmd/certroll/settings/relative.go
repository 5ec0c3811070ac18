package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// relativeTo resolves certroll.hcl's paths relative to the file's directory, since a
// service manager may start certroll in any directory. Earlier versions used the working
// directory: a file that exists only there is still found, with a warning.
func (s *Settings) relativeTo(file string) (warnings hcl.Diagnostics) {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil //nolint:nilerr // without a working directory, only absolute paths can work
	}
	if cwd, err := os.Getwd(); err == nil && cwd == dir {
		return nil
	}
	for _, p := range s.paths() {
		written := *p
		if *p = resolved(dir, written); written != "" && *p != written && *p != filepath.Join(dir, written) {
			warnings = append(warnings, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: FoundElsewhere, Detail: fmt.Sprintf(
				"%s in %s was found as %s, in the working directory, and not beside %[2]s, where certroll looks first: move it there, or write its absolute path.", written, file, *p)})
		}
	}
	for _, url := range []*string{&s.Repo.URL, &s.Ledger.URL} {
		if isRelativeURL(*url) {
			*url = resolved(dir, *url)
		}
	}
	return warnings
}

// FoundElsewhere is the summary of the warning about a file in the working directory.
const FoundElsewhere = "Found in the working directory"

// resolved returns the absolute form of a path relative to a directory.
func resolved(dir, path string) string {
	if path == "" || filepath.IsAbs(path) || isPEM(path) {
		return path
	}
	beside := filepath.Join(dir, path)
	if _, err := os.Stat(beside); err != nil {
		if here, err := filepath.Abs(path); err == nil && exists(here) {
			return here
		}
	}
	return beside
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// isRelativeURL reports whether a repository is a relative path, not a URL or host:path.
func isRelativeURL(url string) bool {
	return url == "." || url == ".." || strings.HasPrefix(url, "./") || strings.HasPrefix(url, "../")
}

// paths returns all settings that name a file or directory.
func (s *Settings) paths() []*string {
	list := []*string{&s.StateDir, &s.ListenTokenFile, &s.Repo.CacheDir, &s.Vault.CACert, &s.Vault.ClientCert, &s.Vault.ClientKey}
	for _, a := range []*GitAuth{s.Repo.Auth, s.Ledger.Auth} {
		if a != nil {
			list = append(list, &a.TokenFile, &a.SSHKeyFile, &a.SSHKeyPassphraseFile, &a.KnownHosts, &a.CABundle)
		}
	}
	if k := s.Ledger.Signing; k != nil {
		list = append(list, &k.SSHKeyFile, &k.OpenPGPKeyFile, &k.PassphraseFile)
	}
	if a := s.Vault.Auth; a != nil {
		list = append(list, &a.SecretIDFile, &a.TokenFile, &a.JWTFile)
	}
	if v := s.Verify; v != nil {
		list = append(list, &v.SSHAllowedSigners, &v.OpenPGPKeyring)
	}
	for _, w := range s.Webhooks {
		list = append(list, &w.SecretFile)
	}
	for _, n := range s.Notify {
		list = append(list, &n.ServiceFile, &n.SecretFile)
	}
	return list
}
