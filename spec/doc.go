// Package spec is the language in which certificates are declared: its types,
// its decoder, and what makes a declaration a good one.
//
// Decode turns the HCL files of one revision into a Spec, or into every mistake
// found in them, each with its place. It reads nothing but the bytes it is
// handed: no file, no network, no environment, no clock. vault() and env() give
// references, which are followed by others when a certificate is applied, so
// that a Spec never holds a secret.
//
// Where the reconciler's own settings have policy blocks, each file may ask only
// for what those allow that its path is under (policy.go); they are decoded with
// its issuer and dns blocks, so that there is one decoder and one kind of mistake.
//
// What a file may ask of the decoder is bounded, since files come from pull
// requests: sizes and nesting before parsing (limits.go), loops, numbers and
// results of functions while evaluating (guard.go).
package spec
