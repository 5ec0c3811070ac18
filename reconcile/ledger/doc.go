// Package ledger is the vocabulary of certroll and the data that its ledger holds: kinds
// of actions, reasons, failure classes and severities; records, events, open problems,
// held sets, and what is live. It is the leaf that the core and the adapters share.
//
// It reads no clock, no file and no network, and it decides nothing: package archive
// reads a ledger's files, package recorder writes them, package plan decides.
//
// What users read is an interface: JSON fields, reasons and classes are only added to,
// and the schemas stay at 1 (docs/ledger.md).
//
//   - Event ids derive from what happened (EventID), so that an event that is noted
//     twice is written once.
//   - An event carries what a notice needs: a success says how many failures it ended.
package ledger
