package pending

import (
	"slices"
	"strings"

	"certroll/spec/text"
)

// Answer is one challenge of an order. The token is no secret: the proof is computed from
// the token and the account key (key authorization, RFC 8555 section 8.1).
type Answer struct {
	Order  string `json:"order"`
	Domain string `json:"domain"`
	Token  string `json:"token"`
	// Issuer and Directory identify the ACME account. DNS lists the DNS accounts that may
	// have written the record, separated by commas. An older certroll stored none of
	// them: then the pending secret's issuer applies and the DNS accounts are unknown.
	Issuer    string `json:"issuer,omitempty"`
	Directory string `json:"directory,omitempty"`
	DNS       string `json:"dns,omitempty"`
}

// By adds DNS accounts that may have written the record.
func (n *Answer) By(accounts []string) {
	n.DNS = strings.Join(text.SortedSet(append(n.Accounts(), accounts...)), ",")
}

// Accounts returns the DNS accounts that may have written the record.
func (n *Answer) Accounts() []string {
	return slices.DeleteFunc(strings.Split(n.DNS, ","), func(name string) bool { return name == "" })
}
