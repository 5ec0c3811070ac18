package notify

import "syscall"

// childAttributes keep a Ctrl-C at the terminal the parent's to handle, and
// have the kernel end the child should the parent be killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
