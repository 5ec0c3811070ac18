// Package retention warns about Vault mounts and secrets that keep too little: only one
// version, or a version for less time than a certificate lives.
//
// It reads mount configurations, and metadata that was read earlier. It changes nothing
// in Vault.
package retention
