package configrepo

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/settings"
	"certroll/gitsync"
	"certroll/reconcile/archive"
	"certroll/spec"
	"certroll/spec/decode"
)

// Decode decodes a revision, within decode_timeout.
func Decode(ctx context.Context, s *settings.Settings, files []gitsync.File) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	return decodeWith(ctx, s, files, s.SpecTrust())
}

// DecodeChange decodes a revision that changes another one; nil if that one is unknown.
func DecodeChange(ctx context.Context, s *settings.Settings, files []gitsync.File, of *gitsync.Revision) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	trust := s.SpecTrust()
	if of != nil {
		trust.Before = SpecFiles(of.Files)
	}
	return decodeWith(ctx, s, files, trust)
}

func decodeWith(ctx context.Context, s *settings.Settings, files []gitsync.File, trust spec.Trust) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	ctx, cancel := context.WithTimeout(ctx, s.DecodeTimeout)
	defer cancel()
	in := SpecFiles(files)
	desired, diags := decode.Files(ctx, in, trust)
	return desired, slices.Concat(in, trust.Files), diags
}

// SpecFiles converts files to package spec's type.
func SpecFiles(files []gitsync.File) []spec.File {
	in := make([]spec.File, len(files))
	for i, f := range files {
		in[i] = spec.File{Path: f.Path, Bytes: f.Bytes}
	}
	return in
}

// Read reads the config repo: the directory if one is given, else the branch. The
// branch's head must descend from the ledger's last revision.
func Read(ctx context.Context, s *settings.Settings, dir string) (*gitsync.Revision, error) {
	if dir != "" {
		return ReadDir(dir, s)
	}
	src, err := s.Source()
	if err != nil {
		return nil, err
	}
	// The next reading of this process needs the cache, or a temporary directory goes.
	defer func() { _ = src.Close() }()
	rev, err := src.Fetch(ctx)
	if err != nil || s.Repo.AllowRewrites {
		return rev, err
	}
	tree, err := s.LedgerTree(ctx)
	if err != nil {
		return nil, err
	}
	last, err := archive.LastTaken(tree)
	if err != nil {
		return nil, err
	}
	return rev, src.Follows(ctx, rev, last.Commit)
}

// ReadDir reads the directory used in place of the config repo. An empty directory is an
// error and not a request to retire everything: the mount may be missing, or the path
// wrong.
func ReadDir(dir string, s *settings.Settings) (*gitsync.Revision, error) {
	rev, err := gitsync.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(rev.Files) == 0 {
		return nil, fmt.Errorf("reading the directory %s: it has no *.hcl file, and all certificates would be retired; check that it is the right one and that it is mounted", dir)
	}
	rev.Files = settings.WithoutOwn(rev.Files, s)
	return rev, nil
}

// SameReading is SameRevision that also compares the unread files, which may contain
// certificates.
func SameReading(a, b *gitsync.Revision) bool {
	return SameRevision(a, b) && slices.Equal(a.Unread, b.Unread)
}

// SameRevision compares commit and files: changes in a directory have no commit, and a
// revision on disk may be of another directory.
func SameRevision(a, b *gitsync.Revision) bool {
	return a.Commit == b.Commit && slices.EqualFunc(a.Files, b.Files, func(a, b gitsync.File) bool {
		return a.Path == b.Path && bytes.Equal(a.Bytes, b.Bytes)
	})
}

// Named names a revision in an error.
func Named(revision string) string {
	if revision == "" {
		return "a plain directory"
	}
	return "commit " + revision
}
