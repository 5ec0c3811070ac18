// Package apply runs the actions of a plan concurrently under the lease. It decides which
// actions start when and in how many places, and publishes their events. It also queries
// the CAs for renewal information and reads revocation lists between passes.
//
// It makes no decision about a certificate: package plan decides before, and package
// attempt runs one action.
//
//   - A pass waits for no attempt (Batch, Crew), because an attempt may take hours at a slow
//     CA. A running attempt appears in a plan only through its share of the CA's limits.
//     Passes that overlap share the lease, the limiter, the places and the ledger's writer.
//   - A ready action waits in a queue, not in a goroutine, and takes a place only when the
//     limiter admits it. A CA or DNS account leaves a quarter of the places to others. This
//     counts every running attempt: if slow ones did not count, a slow CA could have any
//     number running.
package apply
