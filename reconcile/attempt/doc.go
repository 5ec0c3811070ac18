// Package attempt runs one action for one certificate so that a crash at any moment loses
// nothing. Its steps are the pending secret, the order, the certificate, its
// verification, the secret with check-and-set, the metadata, and the event and record of
// the outcome.
//
//	account ─ prepare ─ order ─ verify ─ write ─ tidy ─ conclude
//	           │          │               │
//	           pending    its URL         check-and-set on the version seen
//
// An attempt derives its progress from facts (is there a pending secret? has it an order
// URL? is its key the live one?), never from a stored phase, which could be wrong after a
// crash. Package attempt chooses no action (package plan does) and does not know the
// places and the lease under which it runs (package apply does).
//
//   - certroll never replaces a live certificate by something worse: a certificate that fails
//     verification stays in the pending secret.
//   - An overwritten secret is restored from the version that certroll wrote, which costs no
//     order. certroll orders a new certificate only if that version is gone. A foreign pair
//     stays only if an issuer of the certificate signed it, checked with a public key that
//     came with one of certroll's own certificates. The authority key identifier proves
//     nothing: anybody can write it into a certificate.
//   - The next key (key.next) is generated with the pending secret of the order before it. It
//     replaces the staged key only once the pair is live. A published key is therefore always
//     staged or live, and the staging rule needs neither a stored phase nor a key.
package attempt
