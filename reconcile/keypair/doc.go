// Package keypair compares certificate, chain and key: it finds the leaf of a chain, orders
// the chain by its signatures, and computes the end of the chain as a whole.
//
// It is pure arithmetic on parsed certificates. It reads no clock, file or network, and
// knows nothing of Vault, CAs or plans. It bounds every size from outside before it works
// on it.
package keypair
