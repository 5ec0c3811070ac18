package dnsprovider

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"time"

	"certroll/reconcile/acme/dnsquery"
	"certroll/reconcile/acme/dnswire"
	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/redact"
	"certroll/spec/text"
)

// child is the parent's side of one DNS child process.
type child struct {
	children *Pool
	account  *spec.DNSAccount
	key      [32]byte
	env      []string
	redact   *redact.Redactor
	room     chan struct{} // one element per provider call in progress

	users int         // guarded by Pool.mu
	idle  *time.Timer // guarded by Pool.mu

	ready   chan struct{} // closed once opened or failed is set
	gateway *gateway      // nil: the account may reach any address

	opened dnswire.Answer
	failed *problem.Error
	gone   chan struct{} // closed once the process has ended

	stopOnce sync.Once
	stopped  chan struct{} // closed by stop
	stderr   *tail

	mu         sync.Mutex
	pid        int
	input      *json.Encoder
	closeInput func()
	letGo      func() // closes the child's output pipes
	lastID     int
	waiting    map[int]chan dnswire.Answer
}

const (
	// startTimeout bounds a child's start; generous for a large binary on a busy
	// machine.
	startTimeout = time.Minute
	// stopTimeout bounds the child's exit after the end of its input.
	stopTimeout = 3 * time.Second
	// cancelGrace is how long an interrupted call may still run: an aborted write may
	// leave a record of which certroll does not know.
	cancelGrace = 5 * time.Second
)

// live runs the process from start to end.
//
// It locks its OS thread: Pdeathsig makes Linux kill a child when the *thread* that
// started it ends, and Go may end unlocked threads at any time.
func (c *child) live() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.gone)
	err := c.confine()
	if c.gateway != nil {
		defer c.gateway.close()
	}
	var cmd *exec.Cmd
	var readers *sync.WaitGroup
	if err == nil {
		cmd, readers, err = c.start()
	}
	if err != nil {
		c.openedWith(dnswire.Answer{}, &problem.Error{OfClass: ledger.ClassInternal, Doing: c.starting(), Said: err.Error(), Cause: err})
		c.withdraw()
		return
	}
	go c.open()
	go c.killWhenStopped(cmd)
	readers.Wait()
	err = cmd.Wait()
	c.withdraw()
	c.stop()
	c.children.opts.Logger.Debug("a dns child has ended", "account", c.account.Name, "pid", cmd.Process.Pid, "state", fmt.Sprint(err))
}

// confine opens the child's gateway, unless the account may reach any address.
func (c *child) confine() (err error) {
	if c.account.Reach.Anything {
		return nil
	}
	c.gateway, err = openGateway(context.Background(), c.account)
	return err
}

// providerError returns the error for a provider's text. If the gateway refused a
// connection, that is the cause, whatever the text.
func (c *child) providerError(doing, said string) *problem.Error {
	if c.gateway == nil {
		return providerError(doing, said)
	}
	host := c.gateway.refused()
	if host == "" {
		return providerError(doing, said)
	}
	return problem.Config(doing, "the provider wanted to connect to "+problem.ClipTo(300, text.Line(host))+", which leads to no address that may be connected to: it is private, loopback or link-local, and "+problem.TrustEndpoints+" does not allow it",
		"move the dns block to certroll.hcl, or allow the address there, as in trust { endpoints = [\"10.0.0.0/8:443\"] }")
}

func (c *child) starting() string {
	return "starting the provider " + c.account.Provider + " of the DNS account " + c.account.Name
}

// start starts the process with only the child's environment. The returned group ends
// once both outputs are at their end, which must precede cmd.Wait.
func (c *child) start() (*exec.Cmd, *sync.WaitGroup, error) {
	argv, err := childCommand(c.children.opts.Command)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:noctx // the child outlives this call, and exits at the end of its input
	cmd.Env = c.env
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would mean certroll's whole environment
	}
	if c.gateway != nil {
		cmd.Env = append(slices.Clip(cmd.Env), c.gateway.environment()...)
	}
	// Not certroll's working directory, which may be a checkout of the config repo.
	cmd.Dir = "/"
	cmd.SysProcAttr = childAttributes()
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	stderr, err3 := cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	c.input, c.closeInput, c.pid = json.NewEncoder(stdin), func() { _ = stdin.Close() }, cmd.Process.Pid
	c.letGo = func() { _ = errors.Join(stdout.Close(), stderr.Close()) }
	c.mu.Unlock()
	var readers sync.WaitGroup
	readers.Go(func() { c.readAnswers(stdout) })
	readers.Go(func() { c.readNoise(stderr) })
	return cmd, &readers, nil
}

// open sends the first request, which creates the provider.
func (c *child) open() {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	a, err := c.ask(ctx, dnswire.Request{
		Op: dnswire.OpOpen, Protocol: dnswire.Protocol, Provider: c.account.Provider, Nameservers: dnsquery.Nameservers(c.account), FollowCNAME: c.account.FollowCNAME,
	})
	if err != nil {
		c.openedWith(a, c.crashed(c.starting(), err))
		c.stop()
		return
	}
	if a.Protocol != dnswire.Protocol { // an update replaced the file while this process ran
		c.openedWith(a, &problem.Error{OfClass: ledger.ClassInternal, Doing: c.starting(), Said: otherProtocol(dnswire.Program, a.Protocol), Advice: otherProgram})
		c.withdraw()
		c.stop()
		return
	}
	if a.Error != "" {
		c.openedWith(a, c.providerError(c.starting(), c.redact.Strike(a.Error)))
		c.withdraw()
		c.stop()
		return
	}
	c.openedWith(a, nil)
}

func (c *child) openedWith(a dnswire.Answer, err *problem.Error) {
	c.opened, c.failed = a, err
	close(c.ready)
}

// withdraw removes the child from the pool, so that the next use starts another.
func (c *child) withdraw() {
	c.children.mu.Lock()
	defer c.children.mu.Unlock()
	c.children.forget(c)
}

// change writes or removes a record. Calls beyond the account's Parallel wait.
func (c *child) change(ctx context.Context, r dnswire.Request) error {
	doing := map[string]string{dnswire.OpPresent: "writing", dnswire.OpCleanup: "removing"}[r.Op] + " the TXT record " + r.Name + " through the DNS account " + c.account.Name
	select {
	case c.room <- struct{}{}:
		defer func() { <-c.room }()
	case <-ctx.Done():
		return problem.Interrupted(ctx, doing)
	}
	limit := c.children.opts.Timeout
	// The caller's cancellation must not abort a write halfway; AfterFunc below shortens
	// it.
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	// An interrupted call gets cancelGrace to finish.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(cancelGrace, cancel) })()
	a, err := c.ask(call, r)
	switch {
	case err != nil && call.Err() != nil:
		c.stop() // it hangs, and the next call would hang too
		if ctx.Err() != nil {
			return problem.Interrupted(ctx, doing)
		}
		return &problem.Error{OfClass: ledger.ClassDNSUnavailable, Doing: doing, Said: "the provider did not come back within " + limit.String(), Cause: err, Advice: providerAdvice[ledger.ClassDNSUnavailable]}
	case err != nil:
		return c.crashed(doing, err)
	case a.Error != "":
		return c.providerError(doing, c.redact.Strike(a.Error))
	}
	return nil
}

// crashed returns the error for a child that exited during a request, with its last
// output.
func (c *child) crashed(doing string, err error) *problem.Error {
	said := "the DNS child ended in the middle (" + err.Error() + ")"
	if words := c.stderr.String(); words != "" {
		said += "; its last words: " + redact.Queries(words)
	}
	return &problem.Error{OfClass: ledger.ClassDNSUnavailable, Doing: doing, Said: said, Cause: err, Advice: providerAdvice[ledger.ClassDNSUnavailable]}
}

// ask sends one request and waits for its answer.
func (c *child) ask(ctx context.Context, r dnswire.Request) (dnswire.Answer, error) {
	answer := make(chan dnswire.Answer, 1)
	c.mu.Lock()
	c.lastID++
	r.ID = c.lastID
	c.waiting[r.ID] = answer
	err := c.input.Encode(r)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, r.ID)
	}()
	if err != nil {
		// The write failed because the process exited. Wait for its last output, which
		// the error quotes.
		select {
		case <-c.gone:
		case <-ctx.Done():
		}
		return dnswire.Answer{}, errors.New("the DNS process has ended and accepts no requests")
	}
	select {
	case a := <-answer:
		return a, nil
	case <-c.gone:
		return dnswire.Answer{}, errors.New("it exited")
	case <-ctx.Done():
		return dnswire.Answer{}, ctx.Err()
	}
}

// readAnswers delivers answers to the waiting requests. Any other output, as from a
// library that prints, counts as noise.
func (c *child) readAnswers(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, dnswire.MaxLine)
	for lines.Scan() {
		var a dnswire.Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil || a.ID == 0 {
			c.noise(lines.Text())
			continue
		}
		c.mu.Lock()
		waiting := c.waiting[a.ID]
		c.mu.Unlock()
		if waiting != nil {
			waiting <- a
		}
	}
	_, _ = io.Copy(io.Discard, stdout) // drain the pipe, so that the child never blocks on it
}

func (c *child) readNoise(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, dnswire.MaxLine)
	for lines.Scan() {
		c.noise(lines.Text())
	}
	_, _ = io.Copy(io.Discard, stderr)
}

// noise logs a line of output at debug level and keeps it for crashed.
func (c *child) noise(line string) {
	line = c.redact.Strike(line)
	c.stderr.add(line)
	c.children.opts.Logger.Debug("dns child", "account", c.account.Name, "said", redact.Queries(line))
}

// stop makes the child exit by closing its input.
func (c *child) stop() {
	c.stopOnce.Do(func() {
		close(c.stopped)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.closeInput()
	})
}

// killWhenStopped ends a stopped child that does not exit by itself: after stopTimeout
// it kills the process, and after another it closes the pipes.
func (c *child) killWhenStopped(cmd *exec.Cmd) {
	select {
	case <-c.gone:
		return
	case <-c.stopped:
	}
	// stop may have run before start set closeInput.
	c.mu.Lock()
	c.closeInput()
	c.mu.Unlock()
	for _, next := range []func(){
		func() { _ = cmd.Process.Kill() },
		c.letGo, // a program that the provider started may keep the pipes open
	} {
		t := time.NewTimer(stopTimeout)
		select {
		case <-c.gone:
			t.Stop()
			return
		case <-t.C:
			next()
		}
	}
}

// dead reports whether the child accepts no more calls.
func (c *child) dead() bool {
	select {
	case <-c.gone:
		return true
	case <-c.stopped:
		return true
	default:
		return false
	}
}
