package main

import (
	"os"
	"path/filepath"
	"strings"
)

// relativeTo makes the paths of certroll.hcl absolute, which are relative to the
// directory it is in: a service manager starts certroll wherever it likes.
// Earlier versions took them relative to the working directory; what is there and
// not beside certroll.hcl is still found.
func (s *settings) relativeTo(file string) {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return // what has no working directory has absolute paths, or finds nothing
	}
	if cwd, err := os.Getwd(); err == nil && cwd == dir {
		return
	}
	for _, p := range s.paths() {
		*p = resolved(dir, *p)
	}
	for _, url := range []*string{&s.Repo.URL, &s.Ledger.URL} {
		if isRelativeURL(*url) {
			*url = resolved(dir, *url)
		}
	}
}

// resolved is a path relative to a directory, as an absolute one.
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

// isRelativeURL tells a relative path of a repository from a URL and from
// host:path.
func isRelativeURL(url string) bool {
	return url == "." || url == ".." || strings.HasPrefix(url, "./") || strings.HasPrefix(url, "../")
}

// paths are all settings that name a file or directory.
func (s *settings) paths() []*string {
	list := []*string{&s.StateDir, &s.ListenTokenFile, &s.Repo.CacheDir, &s.Vault.CACert, &s.Vault.ClientCert, &s.Vault.ClientKey}
	for _, a := range []*gitAuth{s.Repo.Auth, s.Ledger.Auth} {
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
