// Package reference resolves the spec's references vault(), env() and file() to
// credentials.
//
// It owns what a reference of the config repo must never reach: certroll's own state in
// Vault, and the secrets that certroll manages. Its errors contain no value that it
// read.
package reference
