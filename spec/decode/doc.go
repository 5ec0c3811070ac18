// Package decode turns the HCL files of one revision into a spec.Spec, or into a list of
// all mistakes, each with its place.
//
// Each block type has its file: issuer.go, dns.go, certificate.go, moved.go. decoder.go
// defines the state of one decoding, and Files runs its steps in order. Package block
// reads the settings that several blocks share.
//
// If the reconciler's own settings have policy blocks, each file may only request what
// the policies that cover its path allow (package policy). The decoder also decodes these
// policies, so that all mistakes are reported in the same way.
//
// The package reads only the bytes it is given: no file, no network, no environment. The
// cost of a file is bounded: its size and nesting before parsing (spec.Parse), and loops,
// numbers and results of functions during evaluation (package eval).
package decode
