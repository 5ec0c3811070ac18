// Package lease has the types that users of a lease share: the port to Vault, the context
// that ends when the lease expires by the clock, and the error of a lease that another
// process holds.
//
// A lease that expired by the clock ends the work under it before its next step, without
// a request to Vault: a suspended process does not know how long it was suspended.
package lease
