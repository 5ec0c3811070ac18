// Package importing takes over certificates that are there already: pairs in
// Vault, and what other ACME clients left in their directories.
//
// Each reader knows one tool's layout, over an fs.FS, and says what it found as
// a Found: the pair, how it was kept, and what cannot be carried over. One
// writer makes HCL of that (HCL), one step puts pairs into Vault (Take). Nothing
// is issued, and nothing that is in Vault is ever written over: the next apply
// adopts what is there, by its own rules (reconcile.CheckPair).
//
// A private key is read from where it is and goes to Vault. It is in no text
// that this package makes. Of the files that hold the credentials of DNS
// providers none is opened.
package importing
