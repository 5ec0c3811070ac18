package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format brings a file into the canonical layout of HCL. A file that does not
// parse is refused.
func Format(src []byte, filename string) ([]byte, hcl.Diagnostics) {
	if body, diags := Parse(File{filename, src}); body == nil {
		return nil, diags
	}
	return hclwrite.Format(src), nil
}
