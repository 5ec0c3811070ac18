//go:build !linux

package notify

import "syscall"

// childAttributes: elsewhere nothing ends a child whose parent was killed. It
// ends when the service has answered.
func childAttributes() *syscall.SysProcAttr { return nil }
