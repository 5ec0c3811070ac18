// Package statuspage makes what people read in the ledger's repository: STATUS.md and the
// messages of its commits. It is pure: the same records give the same text.
package statuspage
