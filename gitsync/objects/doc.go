// Package objects owns the objects of repositories: the Store that keeps what was
// fetched from one remote, the repository of somebody else on this machine, trees as
// file systems, and the edit of a tree.
//
// # A repository on this machine
//
// Nobody checked its objects, and git may repack them at any time: OpenLocal reads the
// heads of an object and of all that it is stored as a difference to before it makes
// the first byte, in what the repository borrows from others (alternates) too.
// go-git's reader holds no size against anything.
//
// # The cache
//
// When what has piled up in a Store exceeds what is live, the Store copies the live tree
// into a new generation and drops the old one; in memory mode too, where objects stay
// compressed. An object that cannot be read is the cache's fault, and the next fetch
// brings all of them again. A disk that takes no more is left: the Store goes on in
// memory.
//
// It never talks to a remote, never checks out a file, and never runs a program.
package objects
