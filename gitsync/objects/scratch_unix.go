//go:build unix

package objects

import (
	"io/fs"
	"os"
	"syscall"
)

// isOurs reports whether a file belongs to this process's user.
func isOurs(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}
