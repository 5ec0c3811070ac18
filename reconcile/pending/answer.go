package pending

import (
	"slices"
	"strings"

	"certroll/spec/text"
)

// Answer is one challenge of an order. The token is no secret: what proves control
// of the name is made of it with the account's key.
type Answer struct {
	Order  string `json:"order"`
	Domain string `json:"domain"`
	Token  string `json:"token"`
	// Issuer and Directory are whose account it was made with, DNS are the accounts
	// that may have written it, joined by commas. An earlier version kept neither:
	// then it is the issuer of the pending secret, and the accounts are not known.
	Issuer    string `json:"issuer,omitempty"`
	Directory string `json:"directory,omitempty"`
	DNS       string `json:"dns,omitempty"`
}

// By adds DNS accounts that may have written it too.
func (n *Answer) By(accounts []string) {
	n.DNS = strings.Join(text.SortedSet(append(n.Accounts(), accounts...)), ",")
}

// Accounts are the DNS accounts that may have written it.
func (n *Answer) Accounts() []string {
	return slices.DeleteFunc(strings.Split(n.DNS, ","), func(name string) bool { return name == "" })
}
