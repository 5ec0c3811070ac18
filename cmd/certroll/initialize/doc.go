// Package initialize makes the files that certroll starts with out of a few
// answers: certroll.hcl, the first files of a config repo, the pipeline of its
// host, and the policy and the commands for Vault.
//
// It is pure: it reads no file, writes none, and asks no server. What it makes
// holds no secret, only where one is found. Package main asks the questions'
// answers of flags and of a terminal, and writes what comes of them.
package initialize
