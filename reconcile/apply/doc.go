// Package apply does what a plan says, so that a crash at any moment loses nothing: the
// pending secret, the order, the certificate, its verification, the secret with
// check-and-set, metadata, event and record.
//
// How far an attempt came is read off the facts (is there a pending secret? has it an order
// URL? is its key the live one?), never off a stored phase that could lie after a crash.
// See phaseOf. The pending secret goes last, after the push: as long as it is there the
// next run can tell the whole story again from what Vault and the CA know.
//
//   - A secret that somebody overwrote is restored from the version certroll wrote, which
//     costs no order; it is issued again only where that version is gone. A pair stays only
//     where an issuer of the certificate signed it, by a key that came with a certificate of
//     certroll's: the authority key identifier is a text that anybody can write.
//   - A pass waits for no attempt (Batch, Crew): an attempt may last for hours at a slow CA.
//     What is at work is no part of a plan but for what it draws from the CA's limits. Passes
//     that overlap share the lease, the limiter, the places and the writer of the ledger.
//   - What is ready waits in a queue and not in a goroutine, and takes a place only when the
//     limiter lets it in. One CA, or DNS account, leaves a quarter of the places to others:
//     not to count who takes long would let a slow CA have any number at work.
//   - The next key (key.next) is made with the pending secret of the order before it, and
//     takes the place of the one that is staged only when the pair is live. What was
//     published is thus either staged or live, and the rule that stages needs neither a
//     stored phase nor a key.
package apply
