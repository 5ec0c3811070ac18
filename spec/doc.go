// Package spec is the desired state that the config repo declares: its values and what
// they mean.
//
// A Spec has issuers, DNS accounts and certificates, and is complete and valid once
// package decode returns it. Its values answer questions about themselves: which CA an
// issuer is (ca.go), which account proves a name and what it may reach (account.go,
// reach.go), what the secret of a certificate holds (fields.go). Besides, the package
// reads what stands in a file within bounds: the syntax (Parse), names, patterns,
// dates and paths.
//
// The package reads nothing but the bytes it is handed: no file, no network, no
// environment. vault() and env() give a Value, which others follow when a
// certificate is applied, so that a Spec never holds a secret. Fields evaluate their
// expressions once more for each pair that is written (customfields.go); package eval
// bounds what that may cost.
package spec
