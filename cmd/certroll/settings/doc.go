// Package settings reads certroll.hcl, certroll's own settings, and opens what they
// name: the config repo, the ledger, the options of a login to Vault.
//
// It owns the file's blocks, their defaults and checks, the limits that the file sets
// for the config repo, and the list of settings that need a restart. certroll.hcl
// contains no secrets, only their places; this package reads the secrets there.
//
// It never connects to Vault, decides nothing about certificates, and prints nothing.
package settings
