// Package examples holds the files that `certroll init` makes a user's own of:
// what is in the documentation and what init writes has one source.
package examples

import "embed"

// Files are the examples of pipelines, of installations and of Vault policies, by
// their paths below this directory.
//
//go:embed ci install vault-policies
var Files embed.FS
