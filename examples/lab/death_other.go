//go:build !linux

package lab

import "syscall"

// dieWithParent can ask for nothing here: only Linux ties a child's life to
// its parent's. Close still ends it.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// stopped cannot be told here: the signal is taken for done.
func stopped(int) bool { return true }
