// Package dnswire is the protocol between certroll and certroll-dns, the
// program that runs the DNS providers. Both link it, so it links neither.
//
// certroll starts one certroll-dns for each DNS account, with the account's
// credentials as its environment. They exchange lines of JSON: requests on the
// child's standard input, one answer to each on its standard output, in any
// order. A child ends when its standard input does.
package dnswire

import "time"

// Program is the name of the child's executable file.
const Program = "certroll-dns"

// Protocol counts the changes after which a parent and a child of different
// versions would misunderstand each other. Raise it with each such change: a
// child is also replaced on the disk while an older parent still runs.
const Protocol = 1

// MaxLine bounds one line of the protocol, in bytes.
const MaxLine = 1 << 20

// The operations of a request.
const (
	OpHello   = "hello"   // describe the program; needs no provider
	OpOpen    = "open"    // make the provider; once in a child's life, before the others
	OpPresent = "present" // write the record
	OpCleanup = "cleanup" // remove it
)

// Request asks the child for one operation.
type Request struct {
	ID int    `json:"id"` // from 1; the answer repeats it
	Op string `json:"op"`

	Protocol    int      `json:"protocol,omitempty"`    // hello, open: the parent's
	Provider    string   `json:"provider,omitempty"`    // open
	Nameservers []string `json:"nameservers,omitempty"` // open: for CNAMEs and for finding the zone
	FollowCNAME bool     `json:"follow_cname,omitempty"`

	Domain  string `json:"domain,omitempty"` // present, cleanup
	Token   string `json:"token,omitempty"`
	KeyAuth string `json:"key_auth,omitempty"`
	Name    string `json:"name,omitempty"` // where the parent found that the record goes
}

// Answer is what came of a request. Error is empty where it succeeded.
type Answer struct {
	ID    int    `json:"id"`
	Error string `json:"error,omitempty"`

	Program  string `json:"program,omitempty"`  // hello: Program
	Version  string `json:"version,omitempty"`  // hello: the release; empty for a build that is none
	Protocol int    `json:"protocol,omitempty"` // hello, open: the child's

	Timeout    time.Duration `json:"timeout,omitempty"`  // open: the provider's own
	Interval   time.Duration `json:"interval,omitempty"` // settings, in nanoseconds
	Sequential bool          `json:"sequential,omitempty"`
}
