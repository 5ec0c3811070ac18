// Package policy checks the files of a config repo against the policies of certroll.hcl.
//
// A Policy limits the files that its globs match: their blocks, names, issuers, DNS
// accounts, secrets and keys, and their number of certificates. CheckBlock and
// CheckDelicate check blocks. Check checks a certificate after its defaults were applied.
// All policies that cover a file must allow its content.
//
// The package finds no files and decodes no certificate. It reports each forbidden
// setting at its place, with the values that the policy allows.
package policy
