// Package reconcile runs the passes that hold certificates as the spec says they should
// be: the loop of certroll run, and what it reports about the systems that a pass needs.
//
// The decisions are in the packages below it; .golangci.yml holds their order. They speak
// to Vault, the CA and Git only through the small interfaces that stand next to their use,
// and never import the packages that satisfy them.
//
//	ledger ◀─ archive, throttle, audit ◀─ plan ◀─ observe, recorder ◀─ attempt ◀─ apply ◀─ doctor, monitor ◀─ reconcile
//	                                         ◀─ review                ◀─ outbox
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
package reconcile
