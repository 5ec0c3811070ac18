// Package redact removes secrets from text before the text reaches a log, an
// error, an event, a terminal or Git.
//
// The package owns two things: the spellings in which another program may
// quote a secret back (see spell), and the shapes by which a secret is known
// without its value (see Tokens). It holds secrets in memory only and never
// writes one anywhere. Clip a text after striking it, never before: a secret
// that is cut in two matches no spelling.
//
// Honest programs quote what they were sent as they received it, or in the
// encoding they received it in. No filter stops a server that knows a secret
// and encodes it on purpose; such a server has the secret already.
package redact
