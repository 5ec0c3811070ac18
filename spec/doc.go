// Package spec defines the desired state that the config repo declares.
//
// A Spec has issuers, DNS accounts and certificates. It is complete and valid once
// package decode returns it. Its values answer questions about themselves: which CA an
// issuer is (ca.go), which account proves a name and what it may reach (account.go,
// reach.go), and which fields a certificate's secret has (fields.go). The package also
// parses the syntax of a file (Parse), names, patterns, dates and paths, within bounds.
//
// The package reads only the bytes it is given: no file, no network, no environment.
// vault(), env() and file() yield a Value, a reference that other packages follow when
// they apply a certificate, so a Spec never contains a secret. Fields are evaluated again
// for each pair that certroll writes (customfields.go); package eval bounds the cost.
package spec
