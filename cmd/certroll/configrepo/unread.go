package configrepo

import (
	"log/slog"
	"path"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"certroll/gitsync"
	"certroll/spec"
)

// mostSaid bounds how many are named.
const mostSaid = 100

// UnreadWarnings say what of a revision is not read, though somebody may think so.
func UnreadWarnings(rev *gitsync.Revision) (diags hcl.Diagnostics) {
	for _, u := range rev.Unread[:min(len(rev.Unread), mostSaid)] {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Not read", Detail: path.Join(rev.Directory, u.Path) + " " + u.Why + "."})
	}
	for _, a := range astray(rev) {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Not in Git", Detail: path.Join(rev.Directory, a.Path) + " " + whyAstray(a) + "."})
	}
	return diags
}

// astray are the files that were read and that Git does not have, at most mostSaid
// of them. certroll's own certroll.hcl is none of the repo's.
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

// NoteUnread notes in what a revision decoded to what of it is not read: what is live
// from there is not retired.
func NoteUnread(desired *spec.Spec, rev *gitsync.Revision) {
	if desired == nil {
		return
	}
	desired.Unread = nil
	for _, u := range rev.Unread {
		desired.Unread = append(desired.Unread, spec.Unread{Path: u.Path, Why: u.Why})
	}
}

// LogUnread says the same in the log of run, once for each revision.
func LogUnread(log *slog.Logger, rev *gitsync.Revision) {
	for _, u := range rev.Unread[:min(len(rev.Unread), mostSaid)] {
		log.Warn("a file of the config repo is not read", "file", path.Join(rev.Directory, u.Path), "reason", u.Why)
	}
	for _, a := range astray(rev) {
		log.Warn("a file of the config repo is not in Git", "file", path.Join(rev.Directory, a.Path), "reason", whyAstray(a))
	}
}
