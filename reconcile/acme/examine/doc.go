// Package examine looks at what a renewal will depend on, and finds what is wrong
// before a CA does: CAA records, delegation and DNSSEC, the CA's directory, the ACME
// account, and by a canary the way to publish a TXT record.
//
// An exam keeps the resolvers' answers while it lasts; of an outage it finds how
// far up the tree it reaches, so that a broken zone is one Finding and not one
// for each name in it. A canary is a publication like any other, without a CA.
//
// It orders nothing, and makes or changes no account.
package examine
