// Package reconciletest has what tests of the packages under reconcile share: fakes of
// Vault, a CA, the ledger and the journal, a world that wires them to a reconciler, and a
// simulated CA for years on a simulated clock.
//
// A fake is for what the real thing cannot show, and for speed: tests against the real
// Vault, CA, DNS and Git are in cmd/certroll (see examples/lab). Only tests import it.
package reconciletest
