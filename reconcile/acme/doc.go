// Package acme is the boundary to ACME CAs and DNS providers, and with the
// packages below it the only one that imports lego: orders, challenges, finalizing, revocation (RFC 8555,
// RFC 8737, RFC 8738, the profiles draft, the replaces field of RFC 9773).
//
// It never decides whether or when: a call here is one attempt, and what comes
// of a failure is the caller's. It never sees a certificate's private key, and
// the account's key goes from the store into memory and nowhere else.
//
// # Orders
//
// Order and Finish are two calls, so that the order's URL can be stored in
// between; lego's own Obtain cannot be left half way. Finish takes the order
// up in whatever state it is: it is the same call after a crash.
//
// lego's API knows no contexts, no headers of an answer, and one http.Client
// per core. A session (session.go) therefore lends a core to one call at a
// time; the core's transport has that call's context, a time limit, and
// remembers the answer with its Retry-After.
// Ten requests of an account are under way at once at most, however many
// certificates and names are being worked on: those mostly wait.
//
// # Accounts
//
// An account's key is written to the store before the CA hears of it, and only
// where there is none (account.go), so that replicas that start together share
// one. A CA that has forgotten the account gets the same key registered again.
//
// # Challenges
//
// All names of an order are solved side by side. The accounts of a certificate
// are tried in order: one that cannot publish an answer is passed over, at once
// where it refuses its credentials, after a few tries where it does not answer.
// The rest of the order then takes it last, and not never: of two accounts each
// may serve another zone. Once the CA was asked there is no second account: a
// failed validation burns the order. A record that was written and is not seen
// is no reason to go on to another account either, because the first has done
// what it was asked.
//
// A provider runs in a child process (children.go), of the program certroll-dns
// (program.go), so that this package and all who import it link no provider. Its
// body is package dnschild, the protocol package dnswire. Its environment is the
// account's credentials and the few variables of passedOn, nothing of ours:
// lego's providers read the environment, and two accounts of one provider
// would read each other's. The child ends with its parent, and outlives a
// Ctrl-C for as long as the parent has records to remove.
//
// A TXT record set shared by several challenges is dealt with in names.go: a
// name and its wildcard are answered together where the provider can hold two
// values; one after another where it cannot (lego's rfc2136 replaces the set),
// and then the second waits until resolvers of the CA have forgotten the
// first: for the record's TTL, a minute at most. A low TTL in the account's
// credentials (DNSUPDATE_TTL) shortens that.
//
// A provider that replaces or deletes whole sets is kept from somebody else's
// records by a look at the name servers, before writing and before removing
// (foreign.go). What a process that died has left is removed by RemoveAnswers.
//
// # Looking ahead
//
// ExamineCAA, ExamineDelegation and Canary look at what a renewal will depend
// on, and find it out before a CA does. They order nothing and make no account.
// An exam keeps the resolvers' answers while it lasts; of an outage it finds how
// far up the tree it reaches, so that a broken zone is one Finding and not one
// for each name in it. A canary is a publication like any other, without a CA.
//
// # Errors
//
// Every error is, or wraps, an *Error: what was being done to what, the other
// side's words, what to do, a class, a time to wait for, and whether the order
// is lost. An interrupted call unwraps to the context's error. Signed tokens
// (a CA's unpause link) and the values of credentials are struck out.
package acme
