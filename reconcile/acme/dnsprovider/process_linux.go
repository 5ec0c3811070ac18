package dnsprovider

import (
	"syscall"
)

// childAttributes put a child into a process group of its own, so that a
// Ctrl-C at the terminal is the parent's alone to handle, and have the kernel
// end it should the parent be killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
