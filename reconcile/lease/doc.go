// Package lease has what holders of a lease share: the port to Vault, the context that
// ends by the clock with the lease, and the error of one that somebody else holds.
//
// A lease that has ended by the clock ends the work under it, before any further step and
// without an answer from Vault: a process that was stopped does not know for how long.
package lease
