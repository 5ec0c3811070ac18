package spec

import (
	"strings"
	"testing"
)

// TestCommentsAreNoExpression: the newline after a comment belongs to the comment. Neither a long text between blocks
// nor a comment after each line counts as one long expression.
func TestCommentsAreNoExpression(t *testing.T) {
	for name, text := range map[string]string{
		"comments in a row":         strings.Repeat("# what stands here is told to people\n", 3*maxTokens) + "locals {}\n",
		"a comment behind each":     "locals {\n" + strings.Repeat("  a = 1 # one\n", maxTokens) + "}\n",
		"a block comment":           "locals {\n" + strings.Repeat("  a = 1 /* one */\n", maxTokens) + "}\n",
		"the last line has no end":  "locals {}\n" + strings.Repeat("// text\n", 3*maxTokens) + "# end",
		"comments between elements": "locals {\n  a = {\n" + strings.Repeat("    k = 1 # one\n", maxTokens) + "  }\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if d := scan(File{Path: "a.hcl", Bytes: []byte(text)}); d != nil {
				t.Errorf("%s: %s", d.Summary, d.Detail)
			}
		})
	}
}
