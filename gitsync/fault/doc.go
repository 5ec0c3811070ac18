// Package fault owns Error, the one error type of gitsync and of the packages below it: the
// kinds, the sentence, and the bounds on the remote's words in it.
//
// It never decides which kind an answer of a remote is; see package remote for that. It
// never sees a secret: the caller strikes secrets out before it makes an Error.
package fault
