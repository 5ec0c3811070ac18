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

// Event tells of the problem. Its id derives from what was found and when it
// came, and not from words that change from one look to the next.
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
		e.Detail = "what was found about " + p.About + " on " + p.Since.Format(time.DateOnly) + " is gone"
	}
	return e
}

// ProbeEvent tells of the problem. Its id derives from what was found, where,
// and when it came.
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

// ProblemsFile holds the problems that the ledger was told of and that are not
// gone, of examinations and of probes. It changes only when one comes or goes.
const ProblemsFile = "doctor.json"

// ProblemsSchema is the version of its JSON shape.
const ProblemsSchema = 1

// Problems is what examinations and probes found and what is not known to be gone.
type Problems struct {
	Schema    int       `json:"schema"`
	UpdatedAt time.Time `json:"updated_at"`
	Problems  []Problem `json:"problems"` // by time of finding
}

// Problem is an error that was found, as it was told.
type Problem struct {
	// Operation is KindDoctor or KindProbe; "" was written by a certroll that
	// did not know the latter.
	Operation Kind `json:"operation"`
	Finding
	Since time.Time `json:"since"`
}

// Find is where a problem of an examination stands, -1 where it does not.
func (p *Problems) Find(class Class, about string) int {
	return slices.IndexFunc(p.Problems, func(o Problem) bool { return o.Operation != KindProbe && o.Class == class && o.About == about })
}

// With and without are copies, since what was noted stays as it is.
func (p *Problems) With(one Problem, at time.Time) *Problems {
	return &Problems{Schema: ProblemsSchema, UpdatedAt: times.Later(at, p.UpdatedAt), Problems: append(slices.Clone(p.Problems), one)}
}

// Without leaves out the problem at i.
func (p *Problems) Without(i int, at time.Time) *Problems {
	return &Problems{Schema: ProblemsSchema, UpdatedAt: times.Later(at, p.UpdatedAt), Problems: slices.Delete(slices.Clone(p.Problems), i, i+1)}
}

// LatestProblems are the newest of p and those of the entries.
func LatestProblems(p *Problems, entries []Entry) *Problems {
	for _, e := range entries {
		if e.Problems != nil && !e.Problems.UpdatedAt.Before(p.UpdatedAt) {
			p = e.Problems
		}
	}
	return p
}

// Finding is one thing that was found, with all that it touches.
type Finding struct {
	Severity     Severity `json:"severity"`
	Class        Class    `json:"class"`
	About        string   `json:"about"`        // what it was found at; with the class it is what makes it the same
	Message      string   `json:"message"`      // what was looked at, and the other side's own words
	Advice       string   `json:"advice"`       // what to do, or ""
	Certificates []string `json:"certificates"` // that it touches, by name
	Names        []string `json:"names"`        // of those, sorted
	DNSAccount   string   `json:"dns_account"`  // at fault, or ""
}

// Served are the problems of a certificate's endpoints, "" for those of all,
// by certificate and endpoint.
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

// Endpoint is an endpoint of a certificate.
type Endpoint struct{ Certificate, Endpoint string }

// Compare orders endpoints by certificate.
func (s Endpoint) Compare(o Endpoint) int {
	return cmp.Or(cmp.Compare(s.Certificate, o.Certificate), cmp.Compare(s.Endpoint, o.Endpoint))
}

// Endpoint is what the problem of an endpoint is about.
func (p Problem) Endpoint() Endpoint { return Endpoint{p.Certificates[0], p.About} }

// At is where the problem of an endpoint stands, -1 where it has none.
func (p *Problems) At(s Endpoint) int {
	return slices.IndexFunc(p.Problems, func(o Problem) bool { return o.Operation == KindProbe && o.Endpoint() == s })
}
