// Package reference follows the references of the spec, vault(), env() and file(), to the
// credentials that they name.
//
// It owns what a reference of the config repo must never reach: certroll's own state in
// Vault and the secrets that certroll manages. Its errors hold no value that it read.
package reference
