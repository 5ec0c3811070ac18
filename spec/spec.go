package spec

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Spec is the desired state decoded from one revision of the config repo. It
// is complete and valid when package decode returns it, and nothing changes it after.
type Spec struct {
	Issuers map[string]*Issuer     // by block name
	DNS     map[string]*DNSAccount // by block name
	// Certificates is ordered by name. for_each is already expanded.
	Certificates []*Certificate
	// Unread is what lies among the files and is not read. The decoder knows nothing of
	// it: whoever read the files adds it.
	Unread []Unread
	// PolicyFiles are the globs of the files that each policy is for.
	PolicyFiles [][]string
}

// BlockTypes are the types of blocks that a config repo has.
func BlockTypes() []string {
	return []string{"locals", "defaults", "issuer", "dns", "certificate", "moved"}
}

// SamePolicies tells whether two files of the config repo are under the same policies.
func (s *Spec) SamePolicies(a, b string) bool {
	if a == b {
		return true
	}
	covers := func(globs []string, file string) bool {
		return slices.ContainsFunc(globs, func(glob string) bool { return MatchGlob(glob, file) })
	}
	return !slices.ContainsFunc(s.PolicyFiles, func(globs []string) bool { return covers(globs, a) != covers(globs, b) })
}

// Certificate finds one certificate by its name; nil where there is none.
func (s *Spec) Certificate(name string) *Certificate {
	i, ok := slices.BinarySearchFunc(s.Certificates, name, func(c *Certificate, name string) int { return cmp.Compare(c.Name, name) })
	if !ok {
		return nil
	}
	return s.Certificates[i]
}

// Names are those of all certificates, in order.
func (s *Spec) Names() []string {
	names := make([]string, len(s.Certificates))
	for i, c := range s.Certificates {
		names[i] = c.Name
	}
	return names
}

// Issuer is an ACME CA account (RFC 8555 section 7.1.2).
type Issuer struct {
	Name      string
	Directory string // URL of the ACME directory, short names already resolved
	Email     string // contact, without "mailto:"; may be empty
	// Account tells the accounts at one CA apart: with the directory and the EAB
	// key id it is the account's identity. Empty is the usual one.
	Account  string
	AgreeTOS bool   // terms_of_service_agreed
	EAB      *EAB   // nil where the CA needs no external account binding
	Profile  string // ACME profile (draft-ietf-acme-profiles); empty is the CA's default
	// PreferredChain is the common name of the topmost issuer wanted among the
	// chains the CA offers (RFC 8555 section 7.4.2); empty takes the default one.
	PreferredChain string
	// Processing is how long the CA may be at work on an order before a new one is
	// made; zero is a day. CAs that approve by hand take longer.
	Processing time.Duration
	CABundle   string // PEM certificates trusted for HTTPS to the directory besides the system's; for a private CA
	Limits     *Limits
	Reach      Reach
	Held       []Hold // why nothing is asked of it; see NewRule
	Range      hcl.Range
}

// Limits are the rate limits of a CA that are kept before it says no. A zero
// Limit is none; a nil *Limits is none at all.
type Limits struct {
	Orders            Limit // new orders of an account
	PerDomain         Limit // certificates of a registered domain
	ExactSet          Limit // certificates of exactly the same names
	FailedValidations Limit // failed validations of one name
	// ConsecutiveFailures is how many failed validations of one name in a row
	// the CA takes before it pauses the name; 0: it does not.
	ConsecutiveFailures int
}

// Limit is a token bucket: Burst tokens, of which one comes back each
// Window/Burst.
type Limit struct {
	Burst  int
	Window time.Duration // in which an empty bucket is full again
}

// Refill is the time in which one token comes back; 0 where there is no limit.
func (l Limit) Refill() time.Duration {
	if l.Burst == 0 {
		return 0
	}
	return l.Window / time.Duration(l.Burst)
}

// EAB is an external account binding (RFC 8555 section 7.3.4).
type EAB struct {
	KeyID Value
	HMAC  Value // base64url, as the CA hands it out
}

// Challenge is an ACME challenge type.
type Challenge string

// The challenge types.
const (
	DNS01     Challenge = "dns-01"      // RFC 8555 section 8.4
	HTTP01    Challenge = "http-01"     // RFC 8555 section 8.3
	TLSALPN01 Challenge = "tls-alpn-01" // RFC 8737
)

// DNSAccount is one account that proves control of names: a DNS provider and
// where its credentials come from, or a listener for the other challenges.
type DNSAccount struct {
	Name      string
	Challenge Challenge
	Provider  string // lego's code of the provider; empty unless Challenge is DNS01
	// Credentials are the provider's environment variables by name.
	Credentials map[string]Value
	Propagation Propagation
	FollowCNAME bool // follow CNAMEs at _acme-challenge; on unless turned off
	// Zones are the domains that the account answers for, with all below them; none:
	// any. Of several accounts those that state a name's zone are tried first.
	Zones []string
	// Parallel is how many calls to the provider may be under way at once, 1
	// unless set: many providers rewrite a whole zone at each call.
	Parallel int
	Listen   string // HTTP01, TLSALPN01: the address to listen on, "host:port"
	Webroot  string // HTTP01: a directory to write the answer to instead of listening
	Reach    Reach
	Held     []Hold // why it is not used; see NewRule
	// Avoided is set in a copy, for one attempt: it is known not to work, and tried last.
	Avoided bool
	Range   hcl.Range
}

// Propagation says how to know that a TXT record can be seen by the CA.
type Propagation struct {
	Timeout  time.Duration // 0: the provider's own, or a minute
	Interval time.Duration // 0: the provider's own, or two seconds
	// Nameservers ("host:port") are asked instead of the zone's authoritative
	// ones, and are the resolvers that CNAMEs are followed with.
	Nameservers []string
	Wait        time.Duration // a fixed wait instead of any check; 0: check
}

// Certificate is one certificate that shall exist.
type Certificate struct {
	Name string // unique in the repo; with for_each "block.key"
	// MovedFrom are the names that it had before by moved blocks, the last one first.
	MovedFrom []string
	Domains   []Domain // in the order typed, at least one; the first is the primary
	Issuer    string   // name of an Issuer
	// Fallbacks are the issuers that follow it in the list, which are gone to
	// when it has failed for a while and expiry nears.
	Fallbacks []string
	// DNS names the accounts in the order they are tried; at least one.
	DNS     []string
	Key     Key
	Renewal Renewal
	Rotate  string // a text not seen before forces exactly one rotation; empty: none
	// RotateRevoke says to revoke what that rotation replaces; nil: leave it.
	RotateRevoke *Revocation
	Vault        Target
	Labels       map[string]string
	OnRemove     OnRemove
	Probes       []Probe   // where it is looked at what is served
	Held         []Hold    // of itself, its issuers and its DNS accounts; see NewRule
	Range        hcl.Range // the block's header
	File         string    // the file that declares it, relative to the config directory
}

// Names are the identifiers as they go to the CA: A-labels and addresses in
// canonical form, in the order typed.
func (c *Certificate) Names() []string {
	names := make([]string, len(c.Domains))
	for i, d := range c.Domains {
		names[i] = d.ASCII
	}
	return names
}

// Algorithm is a public key algorithm.
type Algorithm string

// The key algorithms.
const (
	ECDSA Algorithm = "ecdsa"
	RSA   Algorithm = "rsa"
)

// Key is the shape of the private key. A zero field was left out: it takes
// the default when the certificate is first issued and stays so from then on.
type Key struct {
	Algorithm Algorithm // "", ECDSA or RSA
	Curve     string    // "", "P-256", "P-384" or "P-521"; ECDSA only
	Size      int       // 0, 2048, 3072 or 4096 bits; RSA only
	Rotation  Rotation
	MaxAge    time.Duration // a key this old is rotated also where renewals keep it; 0: never
	// Next says that the key of the next renewal is made now, and the digest of
	// its public half published, so that TLSA records and pins can name it ahead.
	Next bool
}

// DefaultKey is the shape a certificate gets at first issue where its spec
// leaves it open.
var DefaultKey = Key{Algorithm: ECDSA, Curve: "P-256", Rotation: RotateAlways}

// Rotation says whether a renewal makes a fresh private key.
type Rotation string

// The rotation policies.
const (
	RotateAlways Rotation = "always" // the default
	RotateNever  Rotation = "never"
)

// Renewal says when a certificate is renewed.
type Renewal struct {
	Auto bool // on unless turned off
	// Renew when this many days or fewer are left, 30 unless set; or, where it
	// is not 0, when this percentage of the lifetime or less is left.
	ThresholdDays    int
	ThresholdPercent int
	ThresholdStated  bool // the spec says either; otherwise the CA's ARI decides where it offers it
	// A pause, with Auto off: why, and the moment from which it renews again;
	// the zero time is no end.
	Reason string
	Until  time.Time
	// FallbackAfter is how long an issuer fails before the next one is gone to.
	FallbackAfter time.Duration
}

// Revocation is a wish to revoke a certificate.
type Revocation struct {
	Code uint // CRLReason (RFC 5280 section 5.3.1)
}

// Target is where certificate and key are written in Vault KV v2.
type Target struct {
	Mount  string // without slashes at either end
	Path   string // below the mount, without slashes at either end
	Fields Fields
	// Previous says what becomes of the secret at the path before, once the path moved and
	// the new one is written: Keep, as "" does, or Delete.
	Previous OnRemove
}

// OnRemove says what happens to the secret when the block is gone.
type OnRemove string

// The removal policies.
const (
	Keep   OnRemove = "keep"   // leave the secret as it is; the default
	Delete OnRemove = "delete" // soft-delete the secret's current version
	Revoke OnRemove = "revoke" // revoke at the CA, then delete
)

// Unread is what lies among the files of a revision and is not read.
type Unread struct {
	Path string // relative to the config directory, with slashes: a file, or a directory with all that is in it
	Why  string // goes on a sentence that begins with the path
}

// UnreadAt is what lies unread where a file of the spec was: at its path, at a
// directory above it, or beside it under another ending. nil: nothing.
func (s *Spec) UnreadAt(file string) *Unread {
	if file == "" {
		return nil
	}
	for i, u := range s.Unread {
		if strings.HasPrefix(file, u.Path+"/") || stem(u.Path) == stem(file) {
			return &s.Unread[i]
		}
	}
	return nil
}

// stem is a path without what makes it HCL.
func stem(file string) string {
	lower := strings.ToLower(file)
	for _, ending := range []string{".hcl.json", ".hcl", ".tf"} {
		if strings.HasSuffix(lower, ending) {
			return lower[:len(lower)-len(ending)]
		}
	}
	return lower
}

// Holds are all holds of a spec, each once, in the order of the subjects, with
// the certificates that each concerns.
func (s *Spec) Holds() []ConcernedHold {
	var list []ConcernedHold
	index := map[Hold]int{}
	for _, c := range s.Certificates {
		for _, h := range c.Held {
			i, ok := index[h]
			if !ok {
				i = len(list)
				index[h] = i
				list = append(list, ConcernedHold{Hold: h})
			}
			list[i].Certificates = append(list[i].Certificates, c.Name)
		}
	}
	slices.SortStableFunc(list, func(a, b ConcernedHold) int { return strings.Compare(a.Subject, b.Subject) })
	return list
}

// ConcernedHold is a hold with the names of the certificates that it concerns.
type ConcernedHold struct {
	Hold
	Certificates []string
}

// mostOthers is how many certificates with the same names are named.
const mostOthers = 5

// SameNames are the certificates of which others have exactly the same names and ask
// the same CA, by set; each set in the order of the files.
func (s *Spec) SameNames() [][]*Certificate {
	bySet := make(map[[sha256.Size]byte][]*Certificate, len(s.Certificates))
	var order [][sha256.Size]byte
	for _, c := range s.Certificates {
		issuer := s.Issuers[c.Issuer]
		if issuer == nil || len(c.Domains) == 0 {
			continue // a mistake that is reported
		}
		names := c.Names()
		slices.Sort(names)
		set := sha256.Sum256([]byte(issuer.Directory + "\x00" + strings.Join(names, "\x00")))
		if bySet[set] = append(bySet[set], c); len(bySet[set]) == 2 {
			order = append(order, set)
		}
	}
	sets := make([][]*Certificate, len(order))
	for i, set := range order {
		sets[i] = bySet[set]
		slices.SortStableFunc(sets[i], func(a, b *Certificate) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte))
		})
	}
	return sets
}

// SameNamesText says that others of a set have the names of one, and what that costs.
func SameNamesText(one *Certificate, set []*Certificate) string {
	var others []string
	for _, c := range set {
		switch {
		case c == one:
		case len(others) == mostOthers:
			others = append(others, fmt.Sprintf("%d more", len(set)-1-mostOthers))
		case len(others) < mostOthers:
			others = append(others, fmt.Sprintf("%q at %s:%d", c.Name, c.Range.Filename, c.Range.Start.Line))
		}
	}
	return fmt.Sprintf("certificate %q has exactly the names that are also declared by %s; a CA counts all of them against its limit of identical sets", one.Name, strings.Join(others, ", "))
}

// Shape is the key's, with the defaults of a first issue.
func (k Key) Shape() string {
	switch {
	case k.Algorithm == RSA && k.Size == 0:
		return "rsa-2048"
	case k.Algorithm == RSA:
		return "rsa-" + strconv.Itoa(k.Size)
	case k.Curve == "":
		return "ecdsa-" + DefaultKey.Curve
	}
	return "ecdsa-" + k.Curve
}
