package console

import (
	"bytes"
	"strings"
	"testing"
)

// TestContentIsWordForWord: a patch is written unchanged into a file or pipe. Characters that a terminal or CI runner
// would act on are replaced there.
func TestContentIsWordForWord(t *testing.T) {
	const patch = "--- a/x.hcl\n+++ b/x.hcl\n ::stop-commands::x\u202e\n"
	for env, want := range map[string]string{"": patch, "true": "--- a/x.hcl\n+++ b/x.hcl\n :∶stop-commands::x\uFFFD\n"} {
		var out, err bytes.Buffer
		a := &Console{Out: &out, Err: &err, Getenv: func(string) string { return env }}
		end := a.Guard()
		if err := a.Content([]byte(patch)); err != nil {
			t.Fatal(err)
		}
		end()
		if out.String() != want || strings.Contains(err.String(), "word for word") != (env != "") {
			t.Errorf("GITHUB_ACTIONS=%q: got %q, and said %q", env, out.String(), err.String())
		}
	}
}
