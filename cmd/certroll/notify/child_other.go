//go:build !linux

package notify

import "syscall"

// childAttributes sets nothing: on other systems a child whose parent was killed ends
// when the service has answered.
func childAttributes() *syscall.SysProcAttr { return nil }
