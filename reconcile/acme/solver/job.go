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

// Solver proves control of names to CAs.
type Solver struct {
	publisher *publish.Publisher
	servers   *servers
	webroots  *webroots
	turns     keylock.Turns // per server name with a tls-alpn-01 answer
	opts      Options
}

// Options are the settings of a Solver. All are required.
type Options struct {
	Now               func() time.Time
	ValidationTimeout time.Duration // limit of the CA's decision on one name
	Names             int           // of one order, solved concurrently
}

// New makes a Solver that answers dns-01 challenges through the publisher.
func New(publisher *publish.Publisher, o Options) *Solver {
	return &Solver{publisher: publisher, servers: newServers(), webroots: newWebroots(), opts: o}
}

// Job is the validation of one order's names.
type Job struct {
	Solver   *Solver
	Session  *session.Session
	Issuer   *spec.Issuer
	Order    string // its URL
	CSR      []byte
	Accounts []*spec.DNSAccount
	Report   func(step, detail string) // called by one goroutine at a time
	Doing    string                    // "finishing the order ..."

	Account   string           // the DNS account that worked
	passed    []*problem.Error // failures of accounts that could not publish, once each
	published map[string]bool  // the DNS accounts that worked for at least one name
}

// PassedBefore returns the failures of skipped accounts, without the account of err.
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
