package configrepo

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"certroll/cmd/certroll/settings"
	"certroll/gitsync"
	"certroll/reconcile/archive"
	"certroll/spec"
)

// DecodeInForce decodes a revision that was already in force, perhaps under an earlier
// version: new rules (spec.NewRule) hold and do not reject.
func DecodeInForce(ctx context.Context, s *settings.Settings, files []gitsync.File) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	trust := s.SpecTrust()
	trust.InForce = true
	return decodeWith(ctx, s, files, trust)
}

// DecodeHead decodes a command's revision. It checks whether the revision was already in
// force only if nothing but new rules rejects it.
func DecodeHead(ctx context.Context, s *settings.Settings, dir string, rev *gitsync.Revision) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	desired, files, diags := Decode(ctx, s, rev.Files)
	if spec.OnlyNewRules(diags) && WasInForce(ctx, s, dir, rev, diags) {
		desired, files, diags = DecodeInForce(ctx, s, rev.Files)
	}
	return desired, files, append(diags, UnreadWarnings(rev)...)
}

// WasInForce reports whether a revision was already in force, according to the ledger. A
// directory outside Git has no commits, so it counts as in force: each violation is
// held. A revision newer than the ledger's last one also counts, if it violates the same
// rules in the same blocks as that one: a change that affects no certificate leaves no
// trace in the ledger.
func WasInForce(ctx context.Context, s *settings.Settings, dir string, rev *gitsync.Revision, diags hcl.Diagnostics) bool {
	if rev.Commit == "" {
		return true
	}
	tree, err := s.LedgerTree(ctx)
	if err != nil {
		return false
	}
	last, err := archive.LastTaken(tree)
	if err != nil || last.Commit == "" {
		return false
	}
	if last.Commit == rev.Commit {
		return true
	}
	before, err := revisionAt(ctx, s, dir, last.Commit)
	if err != nil {
		return false
	}
	_, _, old := Decode(ctx, s, before.Files)
	return !slices.ContainsFunc(violations(diags), func(v string) bool { return !slices.Contains(violations(old), v) })
}

// revisionAt reads another commit of the config repo.
func revisionAt(ctx context.Context, s *settings.Settings, dir, commit string) (*gitsync.Revision, error) {
	if dir != "" {
		return nil, errors.New("a directory has no other commits")
	}
	there, repo := *s, *s.Repo
	there.Repo = &repo
	there.Propose(commit)
	src, err := there.Source()
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	return src.Fetch(ctx)
}

// violations returns keys of the new rules' rejections, without line numbers.
func violations(diags hcl.Diagnostics) []string {
	var list []string
	for _, d := range diags {
		if rule, ok := d.Extra.(spec.NewRule); ok {
			list = append(list, rule.Name+"\x00"+rule.Allow.Value+"\x00"+d.Detail)
		}
	}
	return list
}
