// Package reconciletest has the shared test helpers of the packages under reconcile:
// fakes of Vault, a CA, the ledger and the journal, a world that wires them to a
// reconciler, and a simulated CA for years on a simulated clock.
//
// The fakes are fast and produce situations that the real systems cannot produce on
// demand. Tests against the real Vault, CA, DNS and Git are in cmd/certroll (see
// examples/lab). Only tests import this package.
package reconciletest
