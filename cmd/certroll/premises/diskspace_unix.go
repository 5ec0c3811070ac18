//go:build linux || darwin

package premises

import (
	"syscall"
)

// freeSpace is how many bytes a user without privileges may still write to the disk
// of a directory; ok is false where the system does not say.
func freeSpace(dir string) (free uint64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return st.Bavail * uint64(st.Bsize), true
}
