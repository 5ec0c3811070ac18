package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"certroll/examples/lab"
)

const (
	// cutFor is the minimum length of a cut: longer than the lease's lifetime, and longer
	// than the timeout of a request to Vault.
	cutFor = 95 * time.Second
	// heirTime bounds the time in which the other replica must finish the round: a minute
	// for the lease, a minute of back-off for the first replica's failures, and the work
	// itself.
	heirTime = 5 * time.Minute
)

// replica is one of several `certroll run` for the same ledger.
type replica struct {
	*machine
	link    *link
	process *lab.Process
}

// replicas is the part replicas: two machines. The drill cuts the holder of the lease off
// from Vault, while the holder still reaches the CA, DNS and Git.
type replicas struct {
	*site
	r    *report
	rng  *rand.Rand
	both []*replica
	cuts int
	took []time.Duration // from each cut to the end of its round
}

func replicasPart(ctx context.Context, o options, r *report) (err error) {
	s, err := openSite(ctx, o, 0)
	if err != nil {
		return err
	}
	p := &replicas{site: s, r: r, rng: rand.New(rand.NewPCG(o.seed, 2))} //nolint:gosec // a seed, to repeat a drill
	defer func() { err = closing(errors.Join(err, p.end()), s) }()
	if err := p.begin(); err != nil {
		return err
	}
	err = p.rounds(ctx, time.Now().Add(o.length*4/10))
	p.figures()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.logs())
	}
	return p.settle(ctx)
}

func (p *replicas) begin() error {
	for _, name := range []string{"one", "two"} {
		l, err := startLink(p.secret.addr)
		if err != nil {
			return err
		}
		r := &replica{link: l}
		p.both = append(p.both, r)
		if r.machine, err = p.machine(name, l.addr, time.Second); err != nil {
			return err
		}
		if r.process, err = r.start("run"); err != nil {
			return err
		}
	}
	return nil
}

// end stops all running processes, also after an error.
func (p *replicas) end() error {
	var errs []error
	for _, r := range p.both {
		r.link.set(false)
		if r.process != nil {
			errs = append(errs, r.process.Close())
		}
		errs = append(errs, r.link.close())
	}
	return errors.Join(errs...)
}

func (p *replicas) rounds(ctx context.Context, over time.Time) error {
	if err := p.whole(ctx, roundTime); err != nil {
		return err
	}
	for p.cuts == 0 || time.Now().Before(over) {
		if err := p.cutOnce(ctx); err != nil {
			return err
		}
		p.cuts++
		p.r.say("cut %d: the round was done after %s", p.cuts, p.took[len(p.took)-1].Round(time.Second))
		// One round without a cut, so that both replicas follow the repository again.
		p.next()
		if err := p.rotate(ctx); err != nil {
			return err
		}
		if err := p.whole(ctx, roundTime); err != nil {
			return err
		}
	}
	return nil
}

// whole waits for the end of the round.
func (p *replicas) whole(ctx context.Context, limit time.Duration) error {
	return until(ctx, limit, fmt.Sprintf("round %d of two replicas", p.round+1), func() (bool, error) {
		for _, r := range p.both {
			select {
			case <-r.process.Done():
				return false, fmt.Errorf("a certroll run ended with exit code %d:\n%s", r.process.ExitCode(), end(r.process.Logs()))
			default:
			}
		}
		return p.complete(ctx, p.round+1)
	})
}

// cutOnce cuts the holder off at a random order of a round, and restores the link when
// the other replica has finished the round.
func (p *replicas) cutOnce(ctx context.Context) error {
	p.next()
	if err := p.rotate(ctx); err != nil {
		return err
	}
	at := 1 + p.rng.IntN(max(1, p.count/2))
	err := until(ctx, roundTime, "a replica to order", func() (bool, error) { return p.madeNow() >= at, nil })
	if err != nil {
		return err
	}
	holder, err := p.holder(ctx)
	if err != nil {
		return err
	}
	p.excuse()
	holder.link.set(true)
	began := time.Now()
	defer holder.link.set(false)
	if err := p.whole(ctx, heirTime); err != nil {
		return err
	}
	p.took = append(p.took, time.Since(began))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(cutFor - time.Since(began)):
	}
	return nil
}

// holder returns the replica that holds the lease.
func (p *replicas) holder(ctx context.Context) (*replica, error) {
	var found *replica
	var by string
	err := until(ctx, roundTime, "a replica to hold the lease", func() (bool, error) {
		var out struct {
			Data struct{ Data map[string]string }
		}
		err := p.vault.API(ctx, http.MethodGet, "secret/data/certroll/lease", nil, &out)
		if err != nil && !strings.Contains(err.Error(), "404") {
			return false, err
		}
		by = out.Data.Data["holder"]
		for _, r := range p.both {
			if strings.HasSuffix(by, fmt.Sprintf(" pid %d", r.process.Pid)) {
				found = r
			}
		}
		return found != nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w (the lease says %q)", err, by)
	}
	return found, nil
}

func (p *replicas) logs() string {
	var text strings.Builder
	for _, r := range p.both {
		fmt.Fprintf(&text, "the log of replica %s ends:\n%s\n", r.dir, end(r.process.Logs()))
	}
	return text.String()
}

// settle stops both replicas and examines the result.
func (p *replicas) settle(ctx context.Context) error {
	for _, r := range p.both {
		if err := stopped(r.process); err != nil {
			return err
		}
	}
	return p.both[0].examine(ctx, p.r)
}

func (p *replicas) figures() {
	p.r.figure("certificates, rounds, replicas", "%d, %d, %d", p.count, p.round+1, len(p.both))
	p.r.figure("times the holder was cut off from Vault", "%d", p.cuts)
	var took []string
	for _, t := range p.took {
		took = append(took, t.Round(time.Second).String())
	}
	p.r.figure("from the cut to the end of the round", "%s", strings.Join(took, ", "))
}
