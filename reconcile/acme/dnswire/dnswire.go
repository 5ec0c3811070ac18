// Package dnswire is the protocol between certroll and certroll-dns, the program that
// runs the DNS providers. It imports neither, so that both can import it.
//
// certroll starts one certroll-dns for each DNS account, with the account's credentials
// in its environment. They exchange lines of JSON: requests on the child's standard
// input, one answer to each on its standard output, in any order. A child exits at the
// end of its standard input.
package dnswire

import "time"

// Program is the name of the child's executable file.
const Program = "certroll-dns"

// Protocol is the version of this protocol. Raise it with each incompatible change: an
// update may replace the child's file while an older parent still runs.
const Protocol = 1

// MaxLine bounds one line of the protocol, in bytes.
const MaxLine = 1 << 20

// The operations of a request.
const (
	OpHello   = "hello"   // describe the program; needs no provider
	OpOpen    = "open"    // create the provider; once per child, before present and cleanup
	OpPresent = "present" // write the TXT record
	OpCleanup = "cleanup" // remove the TXT record
)

// Request asks the child for one operation.
type Request struct {
	ID int    `json:"id"` // from 1; the answer repeats it
	Op string `json:"op"`

	Protocol    int      `json:"protocol,omitempty"`    // hello, open: the parent's version
	Provider    string   `json:"provider,omitempty"`    // open
	Nameservers []string `json:"nameservers,omitempty"` // open: resolvers for CNAMEs and for finding the zone
	FollowCNAME bool     `json:"follow_cname,omitempty"`

	Domain  string `json:"domain,omitempty"` // present, cleanup
	Token   string `json:"token,omitempty"`
	KeyAuth string `json:"key_auth,omitempty"`
	Name    string `json:"name,omitempty"` // the record's name, as the parent resolved it
}

// Answer is the result of a request. Error is empty on success.
type Answer struct {
	ID    int    `json:"id"`
	Error string `json:"error,omitempty"`

	Program  string `json:"program,omitempty"`  // hello: Program
	Version  string `json:"version,omitempty"`  // hello: the release; empty for a development build
	Protocol int    `json:"protocol,omitempty"` // hello, open: the child's version

	Timeout    time.Duration `json:"timeout,omitempty"`  // open: the provider's own
	Interval   time.Duration `json:"interval,omitempty"` // settings, in nanoseconds
	Sequential bool          `json:"sequential,omitempty"`
}
