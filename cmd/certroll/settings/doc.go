// Package settings reads certroll.hcl, certroll's own settings, and opens what they
// name: the config repo, the ledger, the options of a login to Vault.
//
// It owns the blocks of the file, their defaults and checks, the bounds that the file
// sets for the config repo, and which settings a running daemon keeps until a restart.
// Certroll.hcl holds no secret, only the places of secrets; this package reads them
// there.
//
// It never connects to Vault, decides nothing about certificates, and prints nothing.
package settings
