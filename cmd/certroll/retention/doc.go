// Package retention warns of mounts and secrets of Vault that keep too little: one version
// only, or a version for less time than a certificate lives.
//
// It reads the configuration of mounts and metadata that was read before. It changes
// nothing in Vault.
package retention
