package memory

import (
	"fmt"
	"syscall"
)

// undumpable stops dumps to a collector. If core_pattern is a pipe, the kernel ignores
// RLIMIT_CORE (core(5)).
func undumpable() error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		return fmt.Errorf("taking the process out of core dumps: %w", errno)
	}
	return nil
}
