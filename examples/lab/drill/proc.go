package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// usage is the resource use of a process at one moment, from Linux's /proc. On other
// systems it is unknown.
type usage struct {
	rss     int // bytes
	fds     int
	threads int
}

// usageOf reads the resource use of a process; ok is false if it is unknown.
func usageOf(pid int) (u usage, ok bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return usage{}, false
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch n, _ := strconv.Atoi(fields[0]); name {
		case "VmRSS":
			u.rss = n << 10 // kB
		case "Threads":
			u.threads = n
		}
	}
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	u.fds = len(files)
	return u, err == nil && u.rss > 0
}

// processesOf returns the ids of the processes that run a program.
func processesOf(program string) (pids []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if path, err := os.Readlink(link); err == nil && path == program {
			pids = append(pids, "pid "+filepath.Base(filepath.Dir(link)))
		}
	}
	return pids
}
