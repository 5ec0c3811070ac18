// Package setup is certroll init: it asks for missing settings, makes the first files,
// and writes them to this machine, the config repo and Vault.
//
// It owns the order of these steps. It checks all answers and decodes all files before
// it writes anything, and it never overwrites. Package initialize makes the contents of
// the files.
//
// It never asks for a secret, only for the place of one.
package setup
