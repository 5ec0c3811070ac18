//go:build !linux

package dnsprovider

import "syscall"

// childAttributes sets nothing: on other systems the end of standard input shows a child
// that the parent is gone.
func childAttributes() *syscall.SysProcAttr { return nil }
