//go:build !linux

package dnsprovider

import "syscall"

// childAttributes: elsewhere a child notices by the end of its standard input
// that the parent is gone.
func childAttributes() *syscall.SysProcAttr { return nil }
