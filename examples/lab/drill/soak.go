package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// lookEvery is the interval between two checks of the certificates and the process.
const lookEvery = 5 * time.Second

// soaker is the part soak: one certroll run that renews short-lived certificates.
type soaker struct {
	*machine
	r       *report
	looks   int
	expired []string
	used    []usage
}

func soakPart(ctx context.Context, o options, r *report) (err error) {
	s, err := openSite(ctx, o, o.life)
	if err != nil {
		return err
	}
	defer func() { err = closing(err, s) }()
	m, err := s.machine("machine", s.secret.addr, 5*time.Second)
	if err != nil {
		return err
	}
	k := &soaker{machine: m, r: r}
	err = k.soak(ctx, o.soak)
	k.figures(o)
	if err != nil {
		return err
	}
	if err := k.last(ctx); err != nil {
		return err
	}
	return m.examine(ctx, r)
}

func (k *soaker) soak(ctx context.Context, length time.Duration) error {
	p, err := k.start("run")
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // Close ends the process and waits for it
	err = until(ctx, roundTime, "the first certificates", func() (bool, error) { return k.complete(ctx, 1) })
	if err != nil {
		return fmt.Errorf("%w; the log of certroll run ends:\n%s", err, end(p.Logs()))
	}
	k.r.say("all are issued")
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	over := time.After(length)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Done():
			return fmt.Errorf("certroll run ended with exit code %d:\n%s", p.ExitCode(), end(p.Logs()))
		case <-over:
			return stopped(p)
		case <-tick.C:
		}
		if err := k.look(ctx, p.Pid); err != nil {
			return err
		}
	}
}

func (k *soaker) look(ctx context.Context, pid int) error {
	expired, err := k.site.expired(ctx, time.Now())
	if err != nil {
		return err
	}
	k.expired = append(k.expired, expired...)
	k.looks += k.count
	if u, ok := usageOf(pid); ok {
		k.used = append(k.used, u)
	}
	return nil
}

// last finishes the attempts that were in progress when the daemon stopped.
func (k *soaker) last(ctx context.Context) error {
	code, out, err := k.ends(ctx, roundTime, "apply", "-auto-approve")
	if err == nil && code != 0 {
		err = fmt.Errorf("the last certroll apply exits %d:\n%s", code, end(out))
	}
	return err
}

func (k *soaker) figures(o options) {
	k.r.figure("certificates, their lifetime, length", "%d, %s, %s", k.count, o.life, o.soak)
	k.r.figure("checks of a certificate", "%d", k.looks)
	k.r.none("checks that found an expired certificate", k.expired)
	if len(k.used) < leastSamples {
		return
	}
	k.flat("resident memory, MB", 10, func(u usage) int { return u.rss >> 20 })
	k.flat("file descriptors", 10, func(u usage) int { return u.fds })
	k.flat("threads", 5, func(u usage) int { return u.threads })
}

// leastSamples is the number of samples needed to distinguish growth from noise: two
// minutes.
const leastSamples = 24

// flat compares the medians of the middle and the last third of the samples. Growth by
// more than a quarter plus few is a leak.
func (k *soaker) flat(what string, few int, of func(usage) int) {
	n := len(k.used) / 3
	middle, last := median(k.used[n:2*n], of), median(k.used[len(k.used)-n:], of)
	k.r.figure(what+": at the start, in the middle, at the end", "%d, %d, %d", of(k.used[0]), middle, last)
	if last > middle+middle/4+few {
		k.r.fail("%s: grew from %d in the middle third to %d in the last", what, middle, last)
	}
}

func median(used []usage, of func(usage) int) int {
	values := make([]int, len(used))
	for i, u := range used {
		values[i] = of(u)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
