// Package initialize makes certroll's first files from a few answers: certroll.hcl, the
// first files of a config repo, the pipeline of its host, and Vault's policy and setup
// commands.
//
// It is pure: it reads and writes no files and contacts no server. Its output contains
// no secrets, only the places of secrets. Package setup collects the answers and writes
// the files.
package initialize
