package settings

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"certroll/gitsync"
	"certroll/gitsync/signature"
)

// LedgerTree reads the current ledger once and closes it.
func (s *Settings) LedgerTree(ctx context.Context) (fs.FS, error) {
	ledger, err := s.OpenLedger("")
	if err != nil {
		return nil, err
	}
	defer func() { _ = ledger.Close() }()
	tree, _, err := ledger.Snapshot(ctx)
	return tree, err
}

// LedgerMemory is the directory that remembers the ledger's head across restarts, so
// that certroll notices a rewritten branch.
func (s *Settings) LedgerMemory() string { return filepath.Join(s.StateDir, "ledger") }

// LedgerRef returns the ledger's branch as git push writes it.
func (s *Settings) LedgerRef() string {
	branch := cmp.Or(s.Ledger.Branch, gitsync.DefaultBranch)
	if strings.HasPrefix(branch, "refs/") {
		return branch
	}
	return "refs/heads/" + branch
}

// Propose switches to another ref, for planning only. It drops the checks of ancestry
// and signature: the head of a pull request is not the commit that is finally signed and
// merged.
func (s *Settings) Propose(ref string) {
	s.Repo.Ref, s.Repo.AllowRewrites, s.Verify = ref, true, nil
}

// Source opens the config repo.
func (s *Settings) Source() (*gitsync.Source, error) {
	if s.Repo.URL == "" {
		return nil, s.Lacks("config repo", "set repo.url in certroll.hcl, or read a directory with --config-dir")
	}
	auth, err := s.Repo.Auth.Auth()
	if err != nil {
		return nil, err
	}
	o := gitsync.SourceOptions{
		URL: s.Repo.URL, Ref: s.Repo.Ref, Directory: s.Repo.Directory, Depth: s.Repo.Depth, CacheDir: s.Repo.CacheDir, Auth: auth,
		Signers: s.Verify.Signers(), Log: s.Logger,
	}
	if o.CacheDir != "" || s.StateDir == "" {
		return gitsync.OpenSource(o)
	}
	// Keep fetched objects with the rest of the state. A command that may not write
	// there, as in CI, uses a temporary directory.
	o.CacheDir = filepath.Join(s.StateDir, "repo")
	if src, err := gitsync.OpenSource(o); err == nil {
		return src, nil
	}
	o.CacheDir = ""
	return gitsync.OpenSource(o)
}

// Lacks returns the error for a missing setting. The usual cause is that certroll runs
// outside the directory of certroll.hcl.
func (s *Settings) Lacks(what, advice string) error {
	if s.File == nil {
		return fmt.Errorf("there is no %s, and no certroll.hcl in this directory or in /etc/certroll: make one with certroll init, or name it with --config or CERTROLL_CONFIG; %s", what, advice)
	}
	return fmt.Errorf("there is no %s: %s", what, advice)
}

// Signers returns the keys whose commits are accepted; nil: any commit is.
func (v *Verify) Signers() *signature.Signers {
	if v == nil {
		return nil
	}
	return &signature.Signers{AllowedSigners: v.SSHAllowedSigners, Keyring: v.OpenPGPKeyring}
}

// OpenLedger opens the ledger for reading. With a memory directory it remembers there
// the head that it saw.
func (s *Settings) OpenLedger(memory string) (*gitsync.Ledger, error) {
	return s.ledgerWith(memory, nil)
}

// WriteLedger opens the ledger for writing.
func (s *Settings) WriteLedger(memory string) (*gitsync.Ledger, error) {
	key, err := s.Ledger.Signing.key()
	if err != nil {
		return nil, err
	}
	return s.ledgerWith(memory, key)
}

func (s *Settings) ledgerWith(memory string, key *signature.Key) (*gitsync.Ledger, error) {
	if s.Ledger.URL == "" {
		return nil, s.Lacks("ledger", "set ledger.url (or repo.url, whose repository then keeps the ledger's branch) in certroll.hcl")
	}
	auth, err := s.Ledger.Auth.Auth()
	if err != nil {
		return nil, err
	}
	if memory != "" {
		if err := os.MkdirAll(memory, 0o700); err != nil {
			return nil, fmt.Errorf("making the state directory: %w; set state_dir in certroll.hcl to a directory that this user may write", err)
		}
	}
	return gitsync.OpenLedger(gitsync.LedgerOptions{
		URL: s.Ledger.URL, Branch: s.Ledger.Branch, Directory: s.Ledger.Directory, Auth: auth,
		AuthorName: s.Ledger.AuthorName, AuthorEmail: s.Ledger.AuthorEmail, CacheDir: memory, Log: s.Logger,
		SigningKey: key, SkipCI: s.Ledger.SkipCI == nil || *s.Ledger.SkipCI,
	})
}
