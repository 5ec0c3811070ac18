//go:build linux || darwin

package premises

import (
	"syscall"
)

// freeSpace returns the bytes that an unprivileged user can still write to a directory's
// disk; ok is false if the system does not say.
func freeSpace(dir string) (free uint64, ok bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return st.Bavail * uint64(st.Bsize), true
}
