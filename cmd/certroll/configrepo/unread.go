package configrepo

import (
	"log/slog"
	"path"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"certroll/gitsync"
	"certroll/spec"
)

// mostSaid bounds the files that the warnings list.
const mostSaid = 100

// UnreadWarnings returns warnings about files of a revision that certroll does not read,
// and about files that are not in Git.
func UnreadWarnings(rev *gitsync.Revision) (diags hcl.Diagnostics) {
	for _, u := range rev.Unread[:min(len(rev.Unread), mostSaid)] {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Not read", Detail: path.Join(rev.Directory, u.Path) + " " + u.Why + "."})
	}
	for _, a := range astray(rev) {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Not in Git", Detail: path.Join(rev.Directory, a.Path) + " " + whyAstray(a) + "."})
	}
	return diags
}

// astray returns the files that certroll read and that are not in Git, at most mostSaid.
// It leaves out certroll's own certroll.hcl.
func astray(rev *gitsync.Revision) (list []gitsync.Astray) {
	for _, a := range rev.Astray {
		if len(list) < mostSaid && slices.ContainsFunc(rev.Files, func(f gitsync.File) bool { return f.Path == a.Path }) {
			list = append(list, a)
		}
	}
	return list
}

func whyAstray(a gitsync.Astray) string {
	if a.Ignored {
		return "is ignored by Git, so that no commit and no other checkout has it"
	}
	return "is not added to Git (git add), so that no commit and no other checkout has it yet"
}

// NoteUnread records a revision's unread files in its spec, so that certificates from
// these files are not retired.
func NoteUnread(desired *spec.Spec, rev *gitsync.Revision) {
	if desired == nil {
		return
	}
	desired.Unread = nil
	for _, u := range rev.Unread {
		desired.Unread = append(desired.Unread, spec.Unread{Path: u.Path, Why: u.Why})
	}
}

// LogUnread logs the same warnings, once per revision.
func LogUnread(log *slog.Logger, rev *gitsync.Revision) {
	for _, u := range rev.Unread[:min(len(rev.Unread), mostSaid)] {
		log.Warn("a file of the config repo is not read", "file", path.Join(rev.Directory, u.Path), "reason", u.Why)
	}
	for _, a := range astray(rev) {
		log.Warn("a file of the config repo is not in Git", "file", path.Join(rev.Directory, a.Path), "reason", whyAstray(a))
	}
}
