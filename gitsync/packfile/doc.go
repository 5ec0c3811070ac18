// Package packfile owns the format of Git's packs (gitformat-pack(5)): it lists the objects
// of a pack, searches the index of a pack on the local disk, and writes packs.
//
// # Sizes
//
// It trusts no size from outside. go-git's parser inflates each object whole. Index checks
// the sizes in the heads of objects and deltas against Bounds before it inflates anything.
// It hashes whole objects as they stream by, and resolves only deltas whose result is small
// enough for a file that certroll reads.
//
// It never talks to a remote, never opens a repository, and never keeps a pack.
package packfile
