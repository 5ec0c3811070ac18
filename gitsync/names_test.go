package gitsync

import (
	"slices"
	"testing"

	"certroll/examples/lab"
)

// TestNames: the completion offers the names that --base accepts.
func TestNames(t *testing.T) {
	p := local(t)
	p.push(t, "main", map[string]string{"certs/a.hcl": "one"})
	p.push(t, "add-api", map[string]string{"certs/a.hcl": "two"})
	dir := cloned(t, p)
	_, err := lab.Git(t.Context(), dir, "tag", "v1")
	must(t, err)
	c, err := OpenCheckout(dir)
	must(t, err)
	names, err := c.Names()
	must(t, err)
	for _, want := range []string{"main", "origin/main", "origin/add-api", "v1"} {
		if !slices.Contains(names, want) {
			t.Errorf("the checkout offers %q, without %q", names, want)
		}
	}
	s, err := OpenSource(SourceOptions{URL: dir})
	must(t, err)
	if names, err = s.Names(t.Context()); err != nil || !slices.Contains(names, "v1") || slices.Contains(names, "origin/HEAD") {
		t.Errorf("the repository offers %q (%v)", names, err)
	}
}

func TestShortNames(t *testing.T) {
	got := shortNames([]string{"refs/tags/v1", "refs/heads/main", "refs/remotes/origin/HEAD", "refs/remotes/origin/main", "HEAD", "refs/notes/commits", "refs/pull/7/head"})
	if want := []string{"main", "origin/main", "v1"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
