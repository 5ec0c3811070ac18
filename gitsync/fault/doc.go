// Package fault owns the one error of gitsync and of the packages below it: its
// kinds, its sentence, and the bounds on what a remote's words add to it.
//
// It never decides what an answer of a remote means; see remote for that. It never
// sees a secret: who makes an Error strikes them out first.
package fault
