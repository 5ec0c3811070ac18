// Package reconcile runs the passes that bring certificates to the state of the spec. It
// has the loop of certroll run, and tracks outages of the systems that a pass needs.
//
// The packages below it make the decisions; .golangci.yml enforces the order of their
// imports. They use Vault, the CA and Git only through small interfaces, which each
// package declares where it uses them, and never import the packages that implement them.
//
//	ledger ◀─ archive, throttle, audit ◀─ plan ◀─ observe, recorder ◀─ attempt ◀─ apply ◀─ doctor, monitor ◀─ reconcile
//	                                         ◀─ review                ◀─ outbox
//
// # The course of one certificate
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
// The pending secret goes last, after the push. While it exists, the next run can rebuild
// the outcome from Vault and the CA. Even a runner whose disk is discarded after a crash
// therefore loses no event. Event IDs derive from the outcome, so that a repeated event
// is stored once.
package reconcile
