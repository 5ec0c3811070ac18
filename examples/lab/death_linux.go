package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// dieWithParent has the kernel kill the child when its parent dies, so that a
// test run ended by SIGKILL leaves no server behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// stopped tells whether each thread of a process is stopped by a signal: state T
// in /proc/PID/task/TID/stat, behind the name in brackets (man 5 proc).
func stopped(pid int) bool {
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat")
	if err != nil {
		return false
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil { // a thread that has ended meanwhile
			continue
		}
		if _, state, ok := bytes.Cut(stat, []byte(") ")); !ok || len(state) == 0 || state[0] != 'T' {
			return false
		}
	}
	return len(threads) > 0
}
