// Package memory keeps what a process holds in memory from its machine's disks:
// private keys and credentials are not for core dumps. It does nothing about
// swap, which is the machine's matter (docs/threat-model.md).
package memory

import (
	"fmt"
	"syscall"
)

// NoCoreDumps has the kernel write no core dump of this process, nor hand one to
// a collector such as systemd-coredump. Children inherit the limit, and have to
// call it for the collector. On Linux other processes of the same user cannot
// read this one's memory any more either, unless they have CAP_SYS_PTRACE.
func NoCoreDumps() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("setting the limit of core dumps to 0: %w", err)
	}
	return undumpable()
}
