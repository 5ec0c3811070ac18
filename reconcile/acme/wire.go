package acme

import "time"

// The parent and a DNS child talk in lines of JSON: requests on the child's
// standard input, one answer to each on its standard output, in any order.
// A child ends when its standard input does.

// The operations of a request.
const (
	opOpen    = "open"    // make the provider; the first request, and only once
	opPresent = "present" // write the record
	opCleanup = "cleanup" // remove it
)

type childRequest struct {
	ID int    `json:"id"`
	Op string `json:"op"`

	Provider    string   `json:"provider,omitempty"`    // open
	Nameservers []string `json:"nameservers,omitempty"` // open: for CNAMEs and for finding the zone
	FollowCNAME bool     `json:"follow_cname,omitempty"`

	Domain  string `json:"domain,omitempty"` // present, cleanup
	Token   string `json:"token,omitempty"`
	KeyAuth string `json:"key_auth,omitempty"`
	Name    string `json:"name,omitempty"` // where the parent found that the record goes
}

type childAnswer struct {
	ID    int    `json:"id"`
	Error string `json:"error,omitempty"`

	Timeout    time.Duration `json:"timeout,omitempty"`  // open: the provider's own
	Interval   time.Duration `json:"interval,omitempty"` // settings, in nanoseconds
	Sequential bool          `json:"sequential,omitempty"`
}
