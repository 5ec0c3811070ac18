// Package plan decides what is to be done and why: one action and one reason for each
// certificate, from the spec, what was observed, and the time.
//
//	Observed ─▶ situation ─▶ rules, in order ─▶ action ─▶ held back by: back-off, limits,
//	                         the first one wins           breaker, waves, brake ─▶ Plan
//
// It is pure: no clock, no randomness, no context, no logger (.golangci.yml holds the
// folder to that). It knows no attempt and no writer of the ledger.
//
//   - With renewal.auto off only a certificate that was never issued and an explicit
//     rotation request are acted on: turning the renewal off means "do not touch it".
//     What others change there is noted once.
//   - A wave is what begins within any minute, read off events, pending secrets and what
//     is at work. Nothing is stored for it: a restart knows the same.
//   - What is pending or staged of a name that neither the spec nor the ledger knows is
//     retired by what was observed alone, where that was whole. It carries its ledger's
//     mark, since certrolls of others may share the prefix.
//   - A secret that is not certroll's own is never overwritten. It is adopted where its
//     pair is sound and carries the names of the spec, and refused with an event where not.
package plan
