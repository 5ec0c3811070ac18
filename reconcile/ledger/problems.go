package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/times"
	"certroll/spec/text"
)

// Event returns the event about the problem. Its id derives from class, object and time of
// discovery, and not from the message, which may change from one examination to the next.
func (p Problem) Event(status Status, reason Reason, rev Revision, now time.Time) Event {
	e := Event{
		Schema: EventSchema, ID: EventID("doctor", string(reason), string(p.Class), p.About, p.Since.Format(time.RFC3339)), Time: now,
		Operation: KindDoctor, Status: status, Reason: reason, Actor: "schedule", Cause: "schedule", Revision: rev.Commit,
		DNSAccount: p.DNSAccount, Class: p.Class, Message: p.Message,
	}
	fails := fmt.Sprintf("the next renewal of %s will fail", text.Some(p.Certificates, 3))
	e.Concerns(p.Certificates)
	e.Detail = strings.TrimSuffix(fails+": "+p.Advice, ": ")
	if status == Success {
		e.Message = ""
		e.Detail = "the problem of " + p.About + ", found on " + p.Since.Format(time.DateOnly) + ", is gone"
	}
	return e
}

// ProbeEvent returns the event about a probe's problem. Its id derives from class, endpoint
// and time of discovery.
func (p Problem) ProbeEvent(status Status, detail string, rev Revision, now time.Time) Event {
	e := Event{
		Schema: EventSchema, Time: now, Operation: KindProbe, Certificate: p.Certificates[0], Status: status, Reason: ReasonProbed, Detail: detail,
		Actor: "schedule", Cause: "schedule", Revision: rev.Commit, Class: p.Class, Message: p.Message, Endpoint: p.About,
	}
	if p.Class == ClassExpired && status == Failed {
		e.Severity = SeverityPage
	}
	if status == Success {
		e.Reason, e.Message = ReasonGone, ""
	}
	e.ID = EventID("probe", string(e.Reason), e.Certificate, p.About, string(p.Class), p.Since.Format(time.RFC3339))
	return e
}

// ProblemsFile is the file in the ledger with the open problems of examinations and probes.
// It changes only when a problem appears or disappears.
const ProblemsFile = "doctor.json"

// ProblemsSchema is the version of the file's JSON shape.
const ProblemsSchema = 1

// Problems are the open problems of examinations and probes.
type Problems struct {
	Schema    int       `json:"schema"`
	UpdatedAt time.Time `json:"updated_at"`
	Problems  []Problem `json:"problems"` // by time of discovery
}

// Problem is an open problem, as first recorded.
type Problem struct {
	// Operation is KindDoctor or KindProbe; "" in files of versions without probes.
	Operation Kind `json:"operation"`
	Finding
	Since time.Time `json:"since"`
}

// Find returns the index of an examination's problem; -1 if there is none.
func (p *Problems) Find(class Class, about string) int {
	return slices.IndexFunc(p.Problems, func(o Problem) bool { return o.Operation != KindProbe && o.Class == class && o.About == about })
}

// With returns a copy with one more problem. The journal shares p, so it must not change.
func (p *Problems) With(one Problem, at time.Time) *Problems {
	return &Problems{Schema: ProblemsSchema, UpdatedAt: times.Later(at, p.UpdatedAt), Problems: append(slices.Clone(p.Problems), one)}
}

// Without returns a copy without the problem at i.
func (p *Problems) Without(i int, at time.Time) *Problems {
	return &Problems{Schema: ProblemsSchema, UpdatedAt: times.Later(at, p.UpdatedAt), Problems: slices.Delete(slices.Clone(p.Problems), i, i+1)}
}

// LatestProblems returns the newest problems of p and the entries.
func LatestProblems(p *Problems, entries []Entry) *Problems {
	for _, e := range entries {
		if e.Problems != nil && !e.Problems.UpdatedAt.Before(p.UpdatedAt) {
			p = e.Problems
		}
	}
	return p
}

// Finding is one result of an examination, with the certificates that it affects.
type Finding struct {
	Severity     Severity `json:"severity"`
	Class        Class    `json:"class"`
	About        string   `json:"about"`        // the examined object; with the class it identifies the finding
	Message      string   `json:"message"`      // the examined object, and the other side's message
	Advice       string   `json:"advice"`       // next step for a person, or ""
	Certificates []string `json:"certificates"` // affected, by name
	Names        []string `json:"names"`        // of the affected certificates, sorted
	DNSAccount   string   `json:"dns_account"`  // the cause, or ""
}

// Served returns the problems of a certificate's endpoints by certificate and endpoint; ""
// selects all certificates.
func (p *Problems) Served(certificate string) []Problem {
	list := []Problem{}
	if p == nil {
		return list
	}
	for _, one := range p.Problems {
		if one.Operation == KindProbe && (certificate == "" || one.Certificates[0] == certificate) {
			list = append(list, one)
		}
	}
	slices.SortStableFunc(list, func(a, b Problem) int { return a.Endpoint().Compare(b.Endpoint()) })
	return list
}

// Endpoint identifies an endpoint of a certificate.
type Endpoint struct{ Certificate, Endpoint string }

// Compare orders endpoints by certificate, then by endpoint.
func (s Endpoint) Compare(o Endpoint) int {
	return cmp.Or(cmp.Compare(s.Certificate, o.Certificate), cmp.Compare(s.Endpoint, o.Endpoint))
}

// Endpoint returns the endpoint of a probe's problem.
func (p Problem) Endpoint() Endpoint { return Endpoint{p.Certificates[0], p.About} }

// At returns the index of an endpoint's problem; -1 if there is none.
func (p *Problems) At(s Endpoint) int {
	return slices.IndexFunc(p.Problems, func(o Problem) bool { return o.Operation == KindProbe && o.Endpoint() == s })
}
