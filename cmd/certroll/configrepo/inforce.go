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

// DecodeInForce decodes a revision that was in force before, perhaps under an
// earlier certroll: what a new rule rejects is held instead (spec.NewRule).
func DecodeInForce(ctx context.Context, s *settings.Settings, files []gitsync.File) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	trust := s.SpecTrust()
	trust.InForce = true
	return decodeWith(ctx, s, files, trust)
}

// DecodeHead decodes the revision that a command works on. It is asked whether
// the revision was in force before only where new rules alone reject it.
func DecodeHead(ctx context.Context, s *settings.Settings, dir string, rev *gitsync.Revision) (*spec.Spec, []spec.File, hcl.Diagnostics) {
	desired, files, diags := Decode(ctx, s, rev.Files)
	if spec.OnlyNewRules(diags) && WasInForce(ctx, s, dir, rev, diags) {
		desired, files, diags = DecodeInForce(ctx, s, rev.Files)
	}
	return desired, files, append(diags, UnreadWarnings(rev)...)
}

// WasInForce tells whether a revision was in force before, as far as the ledger
// tells. A directory outside Git has no commits, so that nobody can know: there
// each violation is held. A revision that came after the last one that the ledger
// tells of counts as in force where it breaks the same rules at the same blocks:
// a change that leaves all certificates alone leaves no trace in the ledger.
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
	return src.Fetch(ctx)
}

// violations identify what new rules reject, without line numbers.
func violations(diags hcl.Diagnostics) []string {
	var list []string
	for _, d := range diags {
		if rule, ok := d.Extra.(spec.NewRule); ok {
			list = append(list, rule.Name+"\x00"+rule.Allow.Value+"\x00"+d.Detail)
		}
	}
	return list
}
