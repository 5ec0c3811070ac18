package memory_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"certroll/spec/memory"
)

const child = "CERTROLL_TEST_NO_CORE"

// TestNoCoreDumps checks, in a child process, that the core size limit is zero and that the process is not dumpable for
// a core dump collector.
func TestNoCoreDumps(t *testing.T) {
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoCoreDumps$")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := memory.NoCoreDumps(); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("the limit is %+v, %v", limit, err)
	}
	if dumpable, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_DUMPABLE, 0, 0); errno != 0 || dumpable != 0 {
		t.Errorf("the process is dumpable: %d, %v", dumpable, errno)
	}
}
