// Command drill tries to make certroll lose or double something: it kills certroll at
// random moments and damages its files, cuts a replica off from Vault, and lets certroll
// renew short-lived certificates for a while. It uses the released programs and the lab's
// servers on loopback. It judges by the servers' traffic and content, without certroll's
// code.
//
// `make drill` builds the programs and runs it; docs/reliability.md lists the figures. It
// exits 1 if anything was lost or doubled, or if certroll would have needed a person.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are the settings of a drill.
type options struct {
	certroll     string        // path of the program; certroll-dns is in the same directory
	parts        string        // names of the parts to run
	seed         uint64        // of everything random
	certificates int           // in each part
	length       time.Duration // of the parts kill and replicas together
	kills        int           // end the part kill after this many; 0: by time
	soak         time.Duration // length of the part soak
	life         time.Duration // lifetime of the soak's certificates
	out          io.Writer     // nil: standard output
}

// part is one kind of failure.
type part struct {
	name  string
	spare time.Duration // additional time beyond its length
	run   func(ctx context.Context, o options, r *report) error
}

var parts = []part{
	{"kill", 15 * time.Minute, killPart},
	{"replicas", 15 * time.Minute, replicasPart},
	{"soak", 10 * time.Minute, soakPart},
}

func main() {
	o := options{out: os.Stdout}
	flag.StringVar(&o.certroll, "certroll", "bin/lab/certroll", "the certroll to try; certroll-dns lies beside it")
	flag.StringVar(&o.parts, "parts", "kill replicas soak", "which parts to run")
	flag.Uint64Var(&o.seed, "seed", 0, "the seed of what is random; 0 chooses one")
	flag.IntVar(&o.certificates, "certificates", 50, "the number of certificates in each part")
	flag.DurationVar(&o.length, "time", 10*time.Minute, "the length of the parts kill and replicas together")
	flag.IntVar(&o.kills, "kills", 0, "end the part kill after so many kills; 0 ends it by -time")
	flag.DurationVar(&o.soak, "soak", 15*time.Minute, "the length of the part soak")
	flag.DurationVar(&o.life, "life", 6*time.Minute, "the lifetime of the soak's certificates")
	flag.Parse()
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := drill(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "\nThe drill failed with seed %d: %v\n", o.seed, err)
		os.Exit(1)
	}
}

// drill runs the parts one after the other. Its error lists everything lost, doubled or
// stuck.
func drill(ctx context.Context, o options) (err error) {
	if o.certroll, err = filepath.Abs(o.certroll); err != nil {
		return err
	}
	if _, err := os.Stat(o.certroll); err != nil {
		return fmt.Errorf("looking for certroll: %w; build it with make drill, or set -certroll", err)
	}
	chosen, err := choose(o.parts)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.out, "drill: seed %d\n", o.seed)
	var failures []error
	for _, p := range chosen {
		r := &report{name: p.name, out: o.out, began: time.Now()}
		if err := p.within(ctx, o, r); err != nil {
			r.fail("%v", err)
		}
		r.print()
		for _, f := range r.failures {
			failures = append(failures, fmt.Errorf("%s: %s", p.name, f))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failures...)
}

// within runs a part with a time limit, which holds even if certroll hangs.
func (p part) within(ctx context.Context, o options, r *report) error {
	ctx, cancel := context.WithTimeout(ctx, p.limit(o))
	defer cancel()
	return p.run(ctx, o, r)
}

// limit returns the longest time that the part may take.
func (p part) limit(o options) time.Duration {
	if p.name == "soak" {
		return o.soak + p.spare
	}
	return o.length + p.spare
}

func choose(names string) ([]part, error) {
	var chosen []part
	for _, name := range strings.Fields(names) {
		found := false
		for _, p := range parts {
			if p.name == name {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no part %q; there are kill, replicas and soak", name)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("no part was chosen; there are kill, replicas and soak")
	}
	return chosen, nil
}
