// Package ledger has the vocabulary of certroll and the data of its ledger: kinds of
// actions, reasons, failure classes, severities and the states of a certificate; records,
// events, open problems, held sets, and the live certificate. It is the leaf package that the
// core and the adapters share.
//
// It reads no clock, no file and no network, and it decides nothing: package archive
// reads a ledger's files, package recorder writes them, package plan decides.
//
// The JSON is an interface for users: certroll adds fields, reasons and classes, never
// changes their meaning, and the schemas stay at 1 (docs/ledger.md).
//
//   - Event ids derive from the event (EventID), so that the ledger keeps an event that
//     certroll journals twice only once.
//   - An event carries everything that a notification needs: a success contains the number
//     of failures that it ended.
package ledger
