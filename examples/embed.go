// Package examples holds the files that `certroll init` adapts for a user, so that
// the documentation and init share one source.
package examples

import "embed"

// Files has the examples of pipelines, installations and Vault policies, by their
// paths below this directory.
//
//go:embed ci install vault-policies
var Files embed.FS
