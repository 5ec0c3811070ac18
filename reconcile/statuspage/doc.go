// Package statuspage renders the texts for people in the ledger's repository: STATUS.md and
// the commit messages. It is pure: the same records give the same text.
package statuspage
