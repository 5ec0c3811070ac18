package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format brings a file into HCL's canonical layout. It rejects a file that does not
// parse.
func Format(src []byte, filename string) ([]byte, hcl.Diagnostics) {
	if body, diags := Parse(File{filename, src}); body == nil {
		return nil, diags
	}
	return hclwrite.Format(src), nil
}
