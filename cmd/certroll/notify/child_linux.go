package notify

import "syscall"

// childAttributes puts the child into its own process group, so that only the parent
// handles a Ctrl-C at the terminal. Pdeathsig makes the kernel kill the child if the
// parent is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
