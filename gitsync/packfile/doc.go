// Package packfile owns the format of Git's packs (gitformat-pack(5)): it finds out
// what is in a pack, searches the index of one on this disk, and writes packs.
//
// # Sizes
//
// It believes no size from outside. go-git's parser inflates each object whole. Index
// holds the sizes in the heads of objects and deltas against Bounds before it inflates
// anything, hashes whole objects as they stream by, and resolves deltas only as far as
// they can be files that are read.
//
// It never talks to a remote, never opens a repository, and never keeps a pack.
package packfile
