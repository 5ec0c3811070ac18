// Package reconcile holds certificates as the spec says they should be.
//
// It owns the decisions and their order: what is there (Observe), what is to
// do and why (Plan), doing it so that a crash at any moment loses nothing
// (Apply), and telling it (records, events). It speaks to Vault, the CA and
// Git only through the small interfaces that stand next to their use; it never
// imports the packages that satisfy them.
//
// # The way of one certificate
//
//	Observe ── Plan ── Apply ┬ pending secret: fresh key, names, target   (Vault)
//	 reads     pure          ├ order, its URL into the pending secret     (CA, Vault)
//	                         ├ challenges, finalize, download             (CA, DNS)
//	                         ├ verify the pair
//	                         ├ secret, check-and-set on the version seen  (Vault)
//	                         ├ its custom metadata                        (Vault)
//	                         ├ event and record into the journal          (disk)
//	                         ├ ledger commit, pushed                      (Git)
//	                         └ pending secret dropped                     (Vault)
//
// The pending secret goes last, after the push. As long as it is there the
// next run can tell the whole story again from what Vault and the CA know, so
// a runner whose disk is thrown away after the crash loses no event either.
// Event ids are derived from what happened, hence told twice is written once.
//
// # Phases
//
// How far an attempt came is read off the facts (is there a pending secret?
// has it an order URL? is its key the live one?), never off a stored phase
// that could lie after a crash. See phaseOf.
//
// # Decisions
//
//   - A secret that is not certroll's own is never overwritten. It is adopted
//     where its pair is sound and carries the names of the spec, and refused
//     with an event where not.
//   - A secret that somebody overwrote is restored from the version certroll
//     wrote, which costs no order; it is issued again only where that version
//     is gone. A pair stays only where an issuer of the certificate signed it,
//     by a key that came with a certificate of certroll's: the authority key
//     identifier is a text that anybody can write.
//   - A retry is a person's and goes straight to the ledger, past the journal:
//     it can simply be repeated, and a daemon may have the journal open. It ends
//     a wait and forgets no failure, and asks nobody but the next pass.
//   - The ledger's end is anchored in Vault after each push. A ledger that does
//     not go on from there is told of and worked on; it is anchored anew only
//     when it tells so itself, by an id that derives from the anchor.
//   - A lease that has ended by the clock ends the work under it, before any
//     further step and without a word from Vault: a process that was stopped
//     does not know for how long.
//   - With renewal.auto off only a certificate that was never issued and an
//     explicit rotation request are acted on: turning the renewal off means "do
//     not touch it". What others change there is noted once.
//   - A pass of the Loop waits for no attempt (batch, crew): an attempt may last for
//     hours at a slow CA. What is at work is no part of a plan but for what it
//     draws from the CA's limits, and who ends wakes the Loop. Passes that overlap
//     share the lease, the gate, the places and the writer of the ledger.
//   - What is ready waits in a queue and not in a goroutine, and takes a place only
//     when the gate lets it in. One CA, or DNS account, leaves a quarter of the
//     places to others: the alternative, not to count who takes long, would let a
//     slow CA have any number at work.
//   - A wave is what begins within any minute, read off events, pending secrets and
//     what is at work. Nothing is stored for it: a restart knows the same.
//   - What is pending or staged of a name that neither the spec nor the ledger
//     knows is retired by what was observed alone, where that was whole. It
//     carries its ledger's mark, since certrolls of others may share the prefix.
//   - The next key (key.next) is made with the pending secret of the order before
//     it, and takes the place of the one that is staged only when the pair is
//     live. What was published is thus either staged or live, and the rule that
//     stages needs neither a stored phase nor a key.
//   - What an examination (Doctor) finds ahead is told when it comes and when
//     it goes, and holds nothing up: only an attempt's failure does. What was
//     told is kept in the ledger (doctor.json) and not read off the audit log,
//     which would have to be read back to its beginning.
//   - What endpoints serve (Lookout) is looked at beside the Loop and told in the
//     same way: it is no attempt's failure. That something else than the live
//     pair is served is a problem only when its consumer had time to load it;
//     which pairs there were before is read off the dates and names of what is
//     served, since nobody keeps a list of them for ever.
//   - Notices are read off the audit log, which has every event already: it is
//     the outbox, and no second one is kept. How far each destination was told is
//     in Vault beside the anchor, where it outlives the disk and is the same for
//     all replicas; in the ledger each message would be a commit, which is an
//     event to tell of in turn. It moves up after a message was taken, so that one
//     may come twice and none is lost. Messages are kept there before they are
//     sent: made anew, a message would differ by what records say since, and who
//     gets it twice could not tell.
//   - An event carries what a notice needs: a success says how many failures it
//     ended. What a hold of many was told as is known again from the days before.
package reconcile
