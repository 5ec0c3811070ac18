package solver

import (
	"errors"
	"time"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/acme/publish"
	"certroll/reconcile/acme/session"
	"certroll/reconcile/keylock"
	"certroll/spec"
)

// Solver proves to CAs the control of names.
type Solver struct {
	publisher *publish.Publisher
	servers   *servers
	webroots  *webroots
	turns     keylock.Locks // of the server names that are answered for by TLS
	opts      Options
}

// Options are the settings of a solver. All are required.
type Options struct {
	Now               func() time.Time
	ValidationTimeout time.Duration // the CA's decision on one name
	Names             int           // of one order that are solved side by side
}

// New makes a Solver that answers dns-01 challenges through the publisher.
func New(publisher *publish.Publisher, o Options) *Solver {
	return &Solver{publisher: publisher, servers: newServers(), webroots: newWebroots(), opts: o}
}

// Job is the proving of control for one order.
type Job struct {
	Solver   *Solver
	Session  *session.Session
	Issuer   *spec.Issuer
	CSR      []byte
	Accounts []*spec.DNSAccount
	Report   func(step, detail string) // called by one goroutine at a time
	Doing    string                    // "finishing the order ..."

	Account   string           // the DNS account that worked
	passed    []*problem.Error // of accounts that could not publish, each once
	published map[string]bool  // the DNS accounts that worked for some name
}

// PassedBefore are the failures of the accounts that err does not speak of.
func (j *Job) PassedBefore(err error) []error {
	var passed []error
	for _, why := range j.passed {
		if j.published[why.DNSAccount] {
			continue // it published for other names of the order, so it works
		}
		if e := (*problem.Error)(nil); !errors.As(err, &e) || e.DNSAccount != why.DNSAccount {
			passed = append(passed, why)
		}
	}
	return passed
}
