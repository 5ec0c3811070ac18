// Package state reads and writes certroll's own small files in the state directory.
//
// It owns how a damaged file is treated: it is set aside with one warning and counts as
// absent. All that these files hold is in the ledger too, or can be fetched again.
//
// It never stops a renewal because of a file, and it keeps no secret.
package state
