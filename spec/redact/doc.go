// Package redact removes secrets from text before the text reaches a log, an error, an
// event, a terminal or Git.
//
// The package owns two things: the spellings in which another program may quote a secret
// (see spell), and the shapes by which a secret is recognized without its value (see
// Tokens). It holds secrets in memory only and never writes one anywhere. Strike a text
// before clipping it: a secret cut in two matches no spelling.
//
// Honest programs quote a secret as they received it, or in the encoding they received it
// in. No filter stops a server that encodes a secret on purpose; such a server has the
// secret already.
package redact
