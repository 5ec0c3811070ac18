package gitsync

import (
	"testing"

	"certroll/gitsync/fault"
)

func TestCleanDirectory(t *testing.T) {
	for given, want := range map[string]string{"": "", ".": "", "/": "", "./": "", "a": "a", "/a/b/": "a/b", "./a": "a"} {
		if got, err := cleanDirectory(given); err != nil || got != want {
			t.Errorf("%q: got %q, %v", given, got, err)
		}
	}
	for _, given := range []string{"..", "../a", "a/../..", "a//b", ".git", "a/.Git/b", "a\\b"} {
		_, err := cleanDirectory(given)
		failure(t, err, fault.Invalid, "no directory inside a repository")
		_, err = OpenSource(SourceOptions{URL: "/srv/a.git", Directory: given})
		failure(t, err, fault.Invalid)
		_, err = OpenLedger(LedgerOptions{URL: "/srv/a.git", Directory: given})
		failure(t, err, fault.Invalid)
	}
}

func TestOpenLedgerErrors(t *testing.T) {
	for _, branch := range []string{"a..b", "a b", "-x/", "a~1", "/", "x.lock"} {
		_, err := OpenLedger(LedgerOptions{URL: "/srv/a.git", Branch: branch})
		failure(t, err, fault.Invalid, "is no name of a branch")
	}
}
