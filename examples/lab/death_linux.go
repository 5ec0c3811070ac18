package lab

import "syscall"

// dieWithParent has the kernel kill the child when its parent dies, so that a
// test run ended by SIGKILL leaves no server behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
