package reconcile

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// problemsFile holds the problems that the ledger was told of and that are not
// gone, of examinations and of probes. It changes only when one comes or goes.
const problemsFile = "doctor.json"

// problemsSchema is the version of its JSON shape.
const problemsSchema = 1

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

// find is where a problem of an examination stands, -1 where it does not.
func (p *Problems) find(class Class, about string) int {
	return slices.IndexFunc(p.Problems, func(o Problem) bool { return o.Operation != KindProbe && o.Class == class && o.About == about })
}

// with and without are copies, since what was noted stays as it is.
func (p *Problems) with(one Problem, at time.Time) *Problems {
	return &Problems{Schema: problemsSchema, UpdatedAt: later(at, p.UpdatedAt), Problems: append(slices.Clone(p.Problems), one)}
}

func (p *Problems) without(i int, at time.Time) *Problems {
	return &Problems{Schema: problemsSchema, UpdatedAt: later(at, p.UpdatedAt), Problems: slices.Delete(slices.Clone(p.Problems), i, i+1)}
}

// ReadProblems reads the open problems of a ledger's tree: none where the file
// cannot be read, see Unreadable.
func ReadProblems(tree fs.FS) (*Problems, error) {
	p, _, err := loadProblems(tree)
	return p, err
}

// editProblems is the edit that brings a tree's open problems to what the
// entries say last, and what they are then; nil where they say nothing new.
func editProblems(tree fs.FS, entries []entry) (text []byte, latest *Problems, err error) {
	now, err := ReadProblems(tree)
	if err != nil {
		return nil, nil, err
	}
	if latest = latestProblems(now, entries); latest == now {
		return nil, now, nil
	}
	b, err := plainJSON(latest, "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("encoding %s: %w", problemsFile, err)
	}
	return append(b, '\n'), latest, nil
}

func latestProblems(p *Problems, entries []entry) *Problems {
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
	slices.SortStableFunc(list, func(a, b Problem) int { return a.spot().compare(b.spot()) })
	return list
}

// spot is an endpoint of a certificate.
type spot struct{ certificate, endpoint string }

func (s spot) compare(o spot) int {
	return cmp.Or(cmp.Compare(s.certificate, o.certificate), cmp.Compare(s.endpoint, o.endpoint))
}

func (p Problem) spot() spot { return spot{p.Certificates[0], p.About} }

// at is where the problem of an endpoint stands, -1 where it has none.
func (p *Problems) at(s spot) int {
	return slices.IndexFunc(p.Problems, func(o Problem) bool { return o.Operation == KindProbe && o.spot() == s })
}
