package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format brings a file into the canonical layout of HCL. A file that does not
// parse is refused.
func Format(src []byte, filename string) ([]byte, hcl.Diagnostics) {
	if diag := scan(File{filename, src}); diag != nil {
		return nil, hcl.Diagnostics{diag}
	}
	if _, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos); diags.HasErrors() {
		return nil, heredoc(File{filename, src}, diags)
	}
	return hclwrite.Format(src), nil
}
