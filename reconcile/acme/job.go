package acme

import (
	"errors"
	"time"

	"certroll/reconcile/keylock"
	"certroll/spec"
)

// solver proves to CAs the control of names.
type solver struct {
	publisher *publisher
	servers   *servers
	webroots  *webroots
	turns     keylock.Locks // of the server names that are answered for by TLS
	opts      solverOptions
}

// solverOptions are the settings of a solver. All are required.
type solverOptions struct {
	Now               func() time.Time
	ValidationTimeout time.Duration // the CA's decision on one name
	Names             int           // of one order that are solved side by side
}

func newSolver(publisher *publisher, o solverOptions) *solver {
	return &solver{publisher: publisher, servers: newServers(), webroots: newWebroots(), opts: o}
}

// job is the proving of control for one order.
type job struct {
	solver   *solver
	session  *session
	issuer   *spec.Issuer
	csr      []byte
	accounts []*spec.DNSAccount
	report   func(step, detail string) // called by one goroutine at a time
	doing    string                    // "finishing the order ..."

	account   string          // the DNS account that worked
	passed    []*Error        // of accounts that could not publish, each once
	published map[string]bool // the DNS accounts that worked for some name
}

// passedBefore are the failures of the accounts that err does not speak of.
func (j *job) passedBefore(err error) []error {
	var passed []error
	for _, why := range j.passed {
		if j.published[why.account] {
			continue // it published for other names of the order, so it works
		}
		if e := (*Error)(nil); !errors.As(err, &e) || e.account != why.account {
			passed = append(passed, why)
		}
	}
	return passed
}
