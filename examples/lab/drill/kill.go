package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"certroll/examples/lab"
)

const (
	// mostKills is the number of kills before certroll may finish a round. After three
	// deaths in a row within one certificate, certroll waits a minute before it tries
	// that certificate again; the drill waits for that.
	mostKills = 4
	// waitOut is the number of kills of which one, on average, lets the lease expire,
	// which takes a minute. After the other kills the drill deletes the lease.
	waitOut = 20
	// roundTime bounds the time to finish a round.
	roundTime = 5 * time.Minute
	// killTime is the latest moment of a kill, regardless of the requests.
	killTime = 90 * time.Second
)

// killer is the part kill: one machine, whose certroll the drill kills with SIGKILL at
// random moments, and whose state directory it damages after each kill.
type killer struct {
	*machine
	r   *report
	rng *rand.Rand

	window  int // a kill comes within this many requests
	kills   int
	starts  map[string]int // by command
	waited  int            // leases that expired
	harmed  map[string]int
	orphans []string // DNS processes that survived a kill
	left    []string // leftovers of finished rounds
}

func killPart(ctx context.Context, o options, r *report) (err error) {
	s, err := openSite(ctx, o, 0)
	if err != nil {
		return err
	}
	defer func() { err = closing(err, s) }()
	m, err := s.machine("machine", s.secret.addr, 2*time.Second)
	if err != nil {
		return err
	}
	k := &killer{machine: m, r: r, rng: rand.New(rand.NewPCG(o.seed, 1)), //nolint:gosec // a seed, to repeat a drill
		window: 12 * o.certificates, starts: map[string]int{}, harmed: map[string]int{}}
	err = k.rounds(ctx, o)
	k.figures()
	if err != nil {
		return err
	}
	return m.examine(ctx, r)
}

// rounds issues all certificates, and then rotates them repeatedly.
func (k *killer) rounds(ctx context.Context, o options) error {
	over := time.Now().Add(o.length * 6 / 10)
	more := func() bool {
		if o.kills > 0 {
			return k.kills < o.kills
		}
		return time.Now().Before(over)
	}
	for more() {
		if k.starts["apply"]+k.starts["run"] > 0 {
			if err := k.rotate(ctx); err != nil {
				return err
			}
		}
		for n := k.rng.IntN(mostKills); n >= 0 && more(); n-- {
			if err := k.strike(ctx); err != nil {
				return err
			}
		}
		if err := k.finish(ctx); err != nil {
			return err
		}
		k.r.say("round %d is done: %d kills", k.round+1, k.kills)
	}
	return nil
}

// strike starts certroll and kills it at a random request, or up to a tenth of a second
// later. If certroll ends earlier, nothing is killed.
func (k *killer) strike(ctx context.Context) error {
	args := []string{"apply", "-auto-approve"}
	if k.rng.IntN(3) == 0 {
		args = []string{"run"}
	}
	k.next()
	reached, later := k.watch(1+k.rng.IntN(k.window)), time.Duration(k.rng.IntN(100))*time.Millisecond
	p, err := k.start(args...)
	if err != nil {
		return err
	}
	k.starts[args[0]]++
	select {
	case <-p.Done():
		return k.ended(p, args[0])
	case <-ctx.Done():
		p.Kill()
		return ctx.Err()
	case <-reached:
		time.Sleep(later)
	case <-time.After(killTime):
	}
	p.Kill()
	k.kills++
	k.excuse()
	return k.after(ctx)
}

// ended checks the exit code of a certroll that was not killed.
func (k *killer) ended(p *lab.Process, command string) error {
	// apply exits 1 if certificates wait for the end of a hold.
	if code := p.ExitCode(); command != "apply" || code < 0 || code > 1 {
		return fmt.Errorf("certroll %s ended with exit code %d:\n%s", command, code, end(p.Logs()))
	}
	return nil
}

// after does what follows a kill: it waits for the children to end, damages a file, and
// ends the lease.
func (k *killer) after(ctx context.Context) error {
	var orphans []string
	gone := func() (bool, error) {
		orphans = processesOf(k.child)
		return len(orphans) == 0 && k.quiet(), nil
	}
	if err := until(ctx, 10*time.Second, "the DNS processes of a killed certroll to end", gone); err != nil {
		if ctx.Err() != nil {
			return err
		}
		k.orphans = append(k.orphans, orphans...)
	}
	did, err := damage(filepath.Join(k.dir, "state"), k.rng)
	if err != nil {
		return err
	}
	k.harmed[did]++
	if k.rng.IntN(waitOut) == 0 {
		k.waited++
		return nil
	}
	// Without this, the drill would wait a minute after each kill.
	return k.vault.API(ctx, http.MethodDelete, "secret/metadata/certroll/lease", nil, nil)
}

// finish lets certroll finish the round without help: by apply, and by run if
// certificates are still held.
func (k *killer) finish(ctx context.Context) error {
	k.next()
	k.watch(0)
	if k.round%2 == 0 {
		code, out, err := k.ends(ctx, roundTime, "apply", "-auto-approve")
		if err != nil {
			return err
		}
		k.starts["apply"]++
		if code < 0 || code > 1 {
			return fmt.Errorf("certroll apply ended with exit code %d:\n%s", code, end(out))
		}
	}
	if done, err := k.complete(ctx, k.round+1); err != nil {
		return err
	} else if !done {
		k.starts["run"]++
		if err := k.runUntil(ctx, k.round+1); err != nil {
			return err
		}
	}
	return k.tidy(ctx)
}

// runUntil runs certroll until each certificate was issued this many times.
func (m *machine) runUntil(ctx context.Context, each int) error {
	p, err := m.start("run")
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // Close ends the process and waits for it
	err = until(ctx, roundTime, fmt.Sprintf("round %d, which nobody helps with", each), func() (bool, error) {
		select {
		case <-p.Done():
			return false, fmt.Errorf("certroll run ended with exit code %d", p.ExitCode())
		default:
		}
		return m.complete(ctx, each)
	})
	if err != nil {
		return fmt.Errorf("%w; the log of certroll run ends:\n%s", err, end(p.Logs()))
	}
	return stopped(p)
}

// stopped ends a certroll run as systemd would, and checks that it exits 0.
func stopped(p *lab.Process) error {
	_ = p.Close() // Close always returns nil
	if code := p.ExitCode(); code != 0 {
		return fmt.Errorf("certroll run ended with exit code %d at SIGTERM; its log ends:\n%s", code, end(p.Logs()))
	}
	return nil
}

// tidy checks for leftovers of a finished round.
func (k *killer) tidy(ctx context.Context) error {
	pending, err := k.pending(ctx)
	if err != nil {
		return err
	}
	for _, name := range pending {
		k.left = append(k.left, fmt.Sprintf("the pending secret of %s after round %d", name, k.round+1))
	}
	for _, name := range k.dns.Challenges() {
		k.left = append(k.left, fmt.Sprintf("the TXT record at %s after round %d", name, k.round+1))
	}
	return nil
}

func (k *killer) figures() {
	k.r.figure("certificates, rounds", "%d, %d", k.count, k.round+1)
	k.r.figure("starts of apply, of run", "%d, %d", k.starts["apply"], k.starts["run"])
	k.r.figure("kills", "%d", k.kills)
	k.r.figure("leases that ended by themselves", "%d", k.waited)
	var kinds []string
	harmed := 0
	for what, n := range k.harmed {
		kinds = append(kinds, fmt.Sprintf("%s x%d", what, n))
		harmed += n
	}
	slices.Sort(kinds)
	k.r.figure("files of state_dir damaged", "%d", harmed)
	k.r.say("damaged: %s", strings.Join(kinds, ", "))
	k.r.none("DNS processes that outlived a kill", k.orphans)
	k.r.none("pending secrets and TXT records after a round", k.left)
}
