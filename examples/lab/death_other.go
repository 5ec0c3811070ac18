//go:build !linux

package lab

import "syscall"

// dieWithParent returns no attributes: only Linux ties a child's life to its parent's.
// Close still ends the child.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// stopped always reports true: this system offers no way to check.
func stopped(int) bool { return true }
