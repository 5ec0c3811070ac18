// Package attempt does one action for one certificate, so that a crash at any moment loses
// nothing: the pending secret, the order, the certificate, its verification, the secret
// with check-and-set, metadata, and the event and record of how it went.
//
//	account ─ prepare ─ order ─ verify ─ write ─ tidy ─ conclude
//	           │          │               │
//	           pending    its URL         check-and-set on the version seen
//
// How far an attempt came is read off the facts (is there a pending secret? has it an order
// URL? is its key the live one?), never off a stored phase that could lie after a crash.
// It chooses no action, and it knows nothing of the places and the lease under which it
// runs: package plan and package apply do.
//
//   - What is live is never replaced by something worse: a certificate that does not verify
//     stays in the pending secret.
//   - A secret that somebody overwrote is restored from the version certroll wrote, which
//     costs no order; it is issued again only where that version is gone. A pair stays only
//     where an issuer of the certificate signed it, by a key that came with a certificate of
//     certroll's: the authority key identifier is a text that anybody can write.
//   - The next key (key.next) is made with the pending secret of the order before it, and
//     takes the place of the one that is staged only when the pair is live. What was
//     published is thus either staged or live, and the rule that stages needs neither a
//     stored phase nor a key.
package attempt
