package lab

import (
	"os"
	"syscall"
)

// WriteProgram writes a program that is run soon after, by this process or one that it
// starts. No child is forked while the file is open: it would have the file open until its
// own exec, and meanwhile nobody can run the program ("text file busy", execve(2)).
func WriteProgram(path string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, content, 0o700) //nolint:gosec // a program
}
