package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running child process. The servers that are programs embed it.
type Process struct {
	// Pid is the process id; after a Restart, that of the new process.
	Pid int

	name  string
	cmd   *exec.Cmd
	logs  *logs
	done  chan struct{} // closed after Wait
	close sync.Once
}

// start runs a program with only the given environment.
func start(dir string, env []string, program string, args ...string) (*Process, error) {
	path, err := Find(program)
	if err != nil {
		return nil, err
	}
	return startPath(dir, env, path, args...)
}

// StartProgram starts a program that is not one of the lab's servers, in a directory and
// with only the given environment. The caller must check that it is ready.
func StartProgram(dir string, env []string, program string, args ...string) (*Process, error) {
	return start(dir, env, program, args...)
}

func startPath(dir string, env []string, path string, args ...string) (*Process, error) {
	p := &Process{name: filepath.Base(path), logs: &logs{}, done: make(chan struct{})}
	p.cmd = exec.Command(path, args...) //nolint:noctx // the server outlives the context of its start; Close ends it
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.logs, p.logs
	p.cmd.SysProcAttr = dieWithParent()
	p.cmd.WaitDelay = 2 * time.Second // its own children may keep its output open and outlive it
	started := make(chan error, 1)
	go p.own(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.Pid = p.cmd.Process.Pid
	return p, nil
}

// own starts the process and waits for it on one OS thread. The kernel sends the
// parent-death signal when the forking thread ends, not the whole process, and Go ends
// idle threads at any time.
func (p *Process) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	// Its logs and ProcessState show how it ended.
	_ = p.cmd.Wait()
	close(p.done)
}

// Close ends the process and waits for it: with SIGTERM, and after three seconds with
// SIGKILL. It may be called twice.
func (p *Process) Close() error {
	p.close.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may be paused
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(3 * time.Second):
			_ = p.cmd.Process.Kill()
		}
	})
	<-p.done
	return nil
}

// Kill ends the process at once, like a crash.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Pause stops the process: it keeps its connections and answers nothing, like a machine
// that hangs. The kernel stops a process some time after the signal was sent, so Pause
// waits for it. Resume continues the process.
func (p *Process) Pause() error {
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(startTimeout); !stopped(p.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("pausing %s: process %d still runs after %s", p.name, p.Pid, startTimeout)
		}
	}
	return nil
}

// Resume continues a paused process.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Logs returns the end of the process's output so far.
func (p *Process) Logs() string { return p.logs.String() }

// ExitCode returns the exit code of an ended process; -1 if a signal ended it or it still
// runs.
func (p *Process) ExitCode() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// errNotReady is a probe's error if the server only needs more time.
var errNotReady = errors.New("not ready yet")

// startTimeout bounds a start whose context has no deadline. It is long enough for a cold
// disk and a busy machine.
const startTimeout = 60 * time.Second

// ready calls probe until it succeeds. If the process ends first or time runs out, ready
// closes the process and returns an error with the end of its log.
func (p *Process) ready(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready; its log ends:\n%s", p.name, lastLines(p.Logs(), 15))
		case <-ctx.Done():
			_ = p.Close()
			return fmt.Errorf("waiting for %s to answer: %w (last: %w); its log ends:\n%s", p.name, ctx.Err(), err, lastLines(p.Logs(), 15))
		case <-tick.C:
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
