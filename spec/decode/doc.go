// Package decode turns the HCL files of one revision into a spec.Spec, or into every
// mistake found in them, each with its place.
//
// Each type of block has its file: issuer.go, dns.go, certificate.go, moved.go.
// decoder.go is the state of one decoding, and Files runs its steps in order.
// What several blocks share is read by package block.
//
// Where the reconciler's own settings have policy blocks, each file may ask only
// for what those allow that its path is under (package policy); they are decoded with
// its issuer and dns blocks, so that there is one decoder and one kind of mistake.
//
// The package reads nothing but the bytes it is handed: no file, no network, no
// environment. What a file may ask of it is bounded: sizes and nesting before parsing
// (spec.Parse), loops, numbers and results of functions while evaluating (package eval).
package decode
