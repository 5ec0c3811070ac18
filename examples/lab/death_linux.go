package lab

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// dieWithParent makes the kernel kill the child when its parent dies, so that no server
// survives a test run that SIGKILL ended.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// stopped reports whether a signal has stopped every thread of a process: state T in
// /proc/PID/task/TID/stat, after the name in brackets (man 5 proc).
func stopped(pid int) bool {
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat")
	if err != nil {
		return false
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil { // the thread has ended meanwhile
			continue
		}
		if _, state, ok := bytes.Cut(stat, []byte(") ")); !ok || len(state) == 0 || state[0] != 'T' {
			return false
		}
	}
	return len(threads) > 0
}
