// Package premises looks at what an apply needs besides what the CA and the DNS want: the
// rights of the Vault token, the ledger, references, destinations, clocks and the disk.
//
// It owns the thresholds and the advice of these findings. It writes nothing but a file
// into the state directory, which it removes again.
package premises
