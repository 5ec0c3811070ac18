package lab

import (
	"os"
	"syscall"
)

// WriteProgram writes a program that this process or a child runs soon after. It forks no child while the file is open:
// a child keeps the file open until its own exec, and until then nothing can run the program ("text file busy",
// execve(2)).
func WriteProgram(path string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, content, 0o700) //nolint:gosec // a program
}
