// Package keypair knows what a certificate, its chain and its key say together:
// which certificate of a chain is the leaf, who signed whom, and when the chain as
// a whole ends.
//
// It is pure arithmetic over parsed certificates. It reads no clock, file or
// network, and knows nothing of Vault, CAs or plans; every size that comes from
// outside is bounded before work is done for it.
package keypair
