// Package recorder is the only writer of the ledger: journal first, then one commit for
// all that ended together, then the checkpoint in Vault.
//
//	note ──▶ journal ── publish ──▶ ledger ──▶ checkpoint
//	             └──────── onPublished(entries) ─────▶ pending secrets go
//
// It knows no attempt and no CA. What follows a push is its owner's matter.
//
//   - A retry is a person's and goes straight to the ledger, past the journal: it can
//     simply be repeated, and a daemon may have the journal open. It ends a wait and
//     forgets no failure, and asks nobody but the next pass.
//   - The ledger's end is kept as a checkpoint in Vault after each push. A ledger that
//     does not continue from there is reported, and work goes on; the checkpoint moves on
//     only when the ledger has the report, whose id derives from the checkpoint.
package recorder
