// Package plan decides what to do and why: one action and one reason for each certificate,
// from the spec, the observed state and the time.
//
//	Observed ─▶ situation ─▶ rules, in order ─▶ action ─▶ held back by: back-off, limits,
//	                         the first one wins           breaker, waves, brake ─▶ Plan
//
// The package is pure: no clock, no randomness, no context, no logger (.golangci.yml
// enforces that for the folder). It starts no attempt and writes nothing to the ledger.
//
//   - With renewal.auto off, certroll acts only on a certificate that was never issued and
//     on an explicit rotation request. Turning renewal off means "do not touch it":
//
// certroll     notes a change by another program once and leaves the secret alone.
//   - A wave is the set of orders that begin within one minute. certroll derives it from
//     events, pending secrets and attempts under way, and stores nothing for it: a process
//
// after a restart computes the same wave.
//   - A pending secret or staged key whose name neither the spec nor the ledger has is
//     retired by the observed state alone, if that state is complete. The secret carries
//
// the     mark of its ledger, because other certrolls may share the prefix.
//   - certroll never overwrites a secret that it did not write. It adopts the secret if the
//     pair is sound and has the names of the spec, and refuses it with an event otherwise.
package plan
