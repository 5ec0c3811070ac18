// Package apply runs the actions of a plan side by side, under the lease: which of them
// begin when, in how many places, and what the ledger is told. It also asks CAs for renewal
// information and reads revocation lists between passes.
//
// It decides nothing about a certificate: package plan does that before, and package
// attempt does one action.
//
//   - A pass waits for no attempt (Batch, Crew): an attempt may last for hours at a slow CA.
//     What is at work is no part of a plan but for what it draws from the CA's limits. Passes
//     that overlap share the lease, the limiter, the places and the writer of the ledger.
//   - What is ready waits in a queue and not in a goroutine, and takes a place only when the
//     limiter lets it in. One CA, or DNS account, leaves a quarter of the places to others:
//     not to count who takes long would let a slow CA have any number at work.
package apply
