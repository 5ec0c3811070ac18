// Package state reads and writes certroll's own small files in the state directory.
//
// It owns the treatment of damaged files: it sets them aside with one warning and treats
// them as absent. The contents of these files are also in the ledger, or can be fetched
// again.
//
// A damaged file never stops a renewal. The files contain no secrets.
package state
