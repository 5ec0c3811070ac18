// Package solver proves control of an order's names to a CA, by the challenges dns-01,
// http-01 and tls-alpn-01 (RFC 8555 section 8, RFC 8737, RFC 8738).
//
// It solves all names of an order concurrently, and tries a certificate's DNS accounts
// in order. It skips an account that cannot publish an answer: at once if the provider
// rejects its credentials, after a few tries if the provider is unavailable. The
// remaining names of the order then try that account last, and not never, because each
// account may serve another zone.
//
// Once the CA has been asked to validate, no second account follows, since a failed
// validation ends the order. An account whose record was written but is not visible is
// not skipped either: it has done its part.
//
// The package neither creates nor finalizes orders.
package solver
