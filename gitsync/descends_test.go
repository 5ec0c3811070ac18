package gitsync

import (
	"strings"
	"testing"
)

// TestDescends: a ledger that fetched only the head still knows which commits the branch descends from.
func TestDescends(t *testing.T) {
	overAll(t, func(t *testing.T, p place) {
		l := p.ledger(t, LedgerOptions{})
		descends := func(l *Ledger, commit string, want bool) {
			t.Helper()
			got, err := l.Descends(t.Context(), commit)
			if err != nil || got != want {
				t.Errorf("Descends(%s) is %v, %v; want %v", commit, got, err, want)
			}
		}
		descends(l, strings.Repeat("1", 40), false) // the ledger has seen nothing yet
		var commits []string
		for _, n := range []string{"1", "2", "3", "4"} {
			commits = append(commits, commit(t, l, write(map[string]string{"a": n})))
		}
		for _, c := range commits {
			descends(l, c, true)
		}
		fresh := p.ledger(t, LedgerOptions{})
		_, head, err := fresh.Snapshot(t.Context())
		must(t, err)
		descends(fresh, head, true)
		descends(fresh, commits[2], true) // the head names the commit as its parent
		descends(fresh, commits[0], true)
		descends(fresh, strings.Repeat("1", 40), false)
		descends(fresh, "", false)

		// The new commit has no parents: it descends from no commit that the remote or this ledger knew.
		anew := p.git(t, "commit-tree", "-m", "Anew", head+"^{tree}")
		p.git(t, "update-ref", "refs/heads/certroll/status", anew)
		for _, l := range []*Ledger{fresh, p.ledger(t, LedgerOptions{})} {
			_, _, err := l.Snapshot(t.Context())
			must(t, err)
			descends(l, anew, true)
			descends(l, commits[3], false)
			p.git(t, "reflog", "expire", "--expire=now", "--all")
			p.git(t, "gc", "--quiet", "--prune=now")
			descends(l, commits[0], false)
		}
		p.git(t, "update-ref", "-d", "refs/heads/certroll/status")
		_, _, err = fresh.Snapshot(t.Context())
		must(t, err)
		descends(fresh, anew, false)
	})
}
