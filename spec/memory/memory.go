// Package memory keeps the memory of a process off its machine's disks: private keys and
// credentials must not appear in core dumps. It does not handle swap, which is the
// machine's task (docs/threat-model.md).
package memory

import (
	"fmt"
	"syscall"
)

// NoCoreDumps stops the kernel from writing a core dump of this process, and from passing
// one to a collector such as systemd-coredump. Children inherit the limit, but must call
// NoCoreDumps themselves to stop the collector. On Linux, other processes of the same
// user can then no longer read this process's memory, unless they have CAP_SYS_PTRACE.
func NoCoreDumps() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("setting the limit of core dumps to 0: %w", err)
	}
	return undumpable()
}
