// Package policy holds the files of a config repo against the policies of certroll.hcl.
//
// A Policy says what the files that its globs match may ask for: which blocks, names,
// issuers, DNS accounts, secrets and keys, and how many certificates. CheckBlock and
// CheckDelicate look at blocks, Check at a certificate once the defaults above it were
// laid under it. All policies of a file must allow what it asks for.
//
// The package finds no files and decodes no certificate. It reports what a policy
// refuses, and what it allows instead, at the place that asks for it.
package policy
