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

// Process is a running child. The servers that are programs embed it.
type Process struct {
	// Pid is the process's number; after a Restart, the new one's.
	Pid int

	name  string
	cmd   *exec.Cmd
	logs  *logs
	done  chan struct{} // closed when the process has been waited for
	close sync.Once
}

// start runs a program with just the environment it is given.
func start(dir string, env []string, program string, args ...string) (*Process, error) {
	path, err := Find(program)
	if err != nil {
		return nil, err
	}
	return startPath(dir, env, path, args...)
}

// StartProgram starts a program that is no server of the lab's own, in a
// directory and with just the environment it is given. That it is ready is for
// the caller to see.
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
	p.cmd.WaitDelay = 2 * time.Second // a child of its own may have its output, and live on
	started := make(chan error, 1)
	go p.own(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.Pid = p.cmd.Process.Pid
	return p, nil
}

// own starts the process and waits for it on one OS thread: the kernel's
// parent-death signal means the thread that forked, not the whole process,
// and Go ends idle threads as it likes.
func (p *Process) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	// How it ended is in its logs, and in ProcessState.
	_ = p.cmd.Wait()
	close(p.done)
}

// Close ends the process and waits for it: politely first, then by force.
// Closing twice is fine.
func (p *Process) Close() error {
	p.close.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // in case of Pause
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

// Kill ends the process at once, as a crash would.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Pause stops the process from running: it holds its connections and answers
// nothing, like a machine that hangs. Resume lets it go on. The kernel stops a
// process after the signal was sent, so that Pause waits until it has.
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

// Resume ends a Pause.
func (p *Process) Resume() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Logs is the end of what the process has written so far.
func (p *Process) Logs() string { return p.logs.String() }

// ExitCode is the exit code of a process that has ended; -1 where a signal ended
// it, or where it still runs.
func (p *Process) ExitCode() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// errNotReady lets a probe say that there is nothing wrong but the time.
var errNotReady = errors.New("not ready yet")

// startTimeout bounds a start whose context does not: a cold disk and a
// busy machine included.
const startTimeout = 60 * time.Second

// ready calls probe until it succeeds. Where the process ends first or time
// runs out the process is closed and the error shows the end of its log.
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
