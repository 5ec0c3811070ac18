// Package solver proves to a CA the control of an order's names, by the challenges
// dns-01, http-01 and tls-alpn-01 (RFC 8555 section 8, RFC 8737, RFC 8738).
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
// It never makes or finalizes an order.
package solver
