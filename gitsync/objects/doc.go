// Package objects owns the objects of repositories: the Store that caches the objects of
// one remote, the reader of another user's repository on this machine, trees as file
// systems, and the editor of trees.
//
// # A repository on this machine
//
// certroll has not checked its objects, and git may repack them at any time. go-git's
// reader checks no sizes. OpenLocal reads the heads of an object and of its whole chain of
// deltas before it inflates anything, also in the repositories that this one borrows from
// (alternates).
//
// # The cache
//
// When a Store has much more than the live tree needs, it copies the live tree into a new
// generation and drops the old one. It does so in memory too, where objects stay
// compressed. If certroll cannot read an object, the cache is damaged, and the next fetch
// brings all objects again. If certroll cannot write to the disk, the Store goes on in
// memory.
//
// It never talks to a remote, never checks out a file, and never runs a program.
package objects
