package gitsync

import (
	"os"
	"strings"
	"testing"
)

// TestUsualLimits: the default limits of a fetch are those in docs/spec.md.
func TestUsualLimits(t *testing.T) {
	t.Parallel()
	want := Limits{FileSize: 1 << 20, Files: 50_000, Total: 256 << 20, Pack: 1 << 30, Object: 512 << 20, Objects: 1_000_000, Inflated: 8 << 30}
	if got := (Limits{}).withDefaults(); got != want {
		t.Errorf("the limits are %+v, want %+v", got, want)
	}
	page, err := os.ReadFile("../docs/spec.md")
	must(t, err)
	text := strings.Join(strings.Fields(string(page)), " ")
	for _, promise := range []string{"One fetch brings at most 1 GiB, 1,000,000 files, directories and commits, and 8 GiB once inflated", "more than 512 MiB"} {
		if !strings.Contains(text, promise) {
			t.Errorf("docs/spec.md does not say %q", promise)
		}
	}
}
