package remote

import (
	"errors"
	"strings"
	"testing"

	"certroll/gitsync/gitsynctest"
	"certroll/gitsync/objects"
)

// TestDiskErrorsAreTheDisks: an error of the local disk is never reported as the remote's, whatever its text.
func TestDiskErrorsAreTheDisks(t *testing.T) {
	r, err := Open(t.TempDir(), Auth{}, 0)
	gitsynctest.Must(t, err)
	err = r.Explain(t.Context(), "fetching", objects.OnCache("writing the Git cache", errors.New("unexpected EOF")))
	if got := err.Error(); strings.Contains(got, "remote") || strings.Contains(got, "can be reached") || !strings.Contains(got, "check that disk") {
		t.Errorf("got %s", got)
	}
}
