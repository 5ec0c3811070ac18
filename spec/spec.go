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

// Spec is the desired state decoded from one revision of the config repo. Package decode
// returns it complete and valid. It must not be changed afterwards.
type Spec struct {
	Issuers map[string]*Issuer     // by block name
	DNS     map[string]*DNSAccount // by block name
	// Certificates are sorted by name, with for_each already expanded.
	Certificates []*Certificate
	// Unread lists files of the revision that certroll does not read. The caller that
	// reads the files adds it; the decoder does not know it.
	Unread []Unread
	// PolicyFiles are the file globs of each policy.
	PolicyFiles [][]string
}

// BlockTypes returns the block types of a config repo.
func BlockTypes() []string {
	return []string{"locals", "defaults", "issuer", "dns", "certificate", "moved"}
}

// SamePolicies reports whether the same policies cover two files of the config repo.
func (s *Spec) SamePolicies(a, b string) bool {
	if a == b {
		return true
	}
	covers := func(globs []string, file string) bool {
		return slices.ContainsFunc(globs, func(glob string) bool { return MatchGlob(glob, file) })
	}
	return !slices.ContainsFunc(s.PolicyFiles, func(globs []string) bool { return covers(globs, a) != covers(globs, b) })
}

// Certificate returns a certificate by name, or nil.
func (s *Spec) Certificate(name string) *Certificate {
	i, ok := slices.BinarySearchFunc(s.Certificates, name, func(c *Certificate, name string) int { return cmp.Compare(c.Name, name) })
	if !ok {
		return nil
	}
	return s.Certificates[i]
}

// Names returns the names of all certificates, sorted.
func (s *Spec) Names() []string {
	names := make([]string, len(s.Certificates))
	for i, c := range s.Certificates {
		names[i] = c.Name
	}
	return names
}

// Issuer is an ACME CA with an account there (RFC 8555 section 7.1.2).
type Issuer struct {
	Name      string
	Directory string // URL of the ACME directory, short names resolved
	Email     string // contact, without "mailto:"; may be empty
	// Account distinguishes several accounts at one CA. The account's identity is the
	// directory, this name and the EAB key id. "" is the default account.
	Account  string
	AgreeTOS bool   // terms_of_service_agreed
	EAB      *EAB   // nil if the CA needs no external account binding
	Profile  string // ACME profile (draft-ietf-acme-profiles); "" is the CA's default
	// PreferredChain is the common name of the topmost issuer of the preferred chain
	// among those the CA offers (RFC 8555 section 7.4.2); "" uses the default chain.
	PreferredChain string
	// Processing is how long an order may stay in processing before certroll creates a
	// new one; zero means a day. CAs that approve by hand take longer.
	Processing time.Duration
	CABundle   string // PEM certificates trusted for HTTPS to the directory, in addition to the system's; for a private CA
	Limits     *Limits
	Reach      Reach
	Held       []Hold // why certroll does not use it; see NewRule
	Range      hcl.Range
}

// Limits are the rate limits of a CA. certroll stops before it reaches them. A zero Limit
// or a nil *Limits means no limit.
type Limits struct {
	Orders            Limit // new orders per account
	PerDomain         Limit // certificates per registered domain
	ExactSet          Limit // certificates with exactly the same names
	FailedValidations Limit // failed validations per name
	// ConsecutiveFailures is the number of failed validations of one name in a row after
	// which the CA pauses the name; 0 if the CA pauses none.
	ConsecutiveFailures int
}

// Limit is a token bucket with Burst tokens. One token returns every Window/Burst.
type Limit struct {
	Burst  int
	Window time.Duration // time in which an empty bucket fills
}

// Refill returns the time in which one token returns; 0 if there is no limit.
func (l Limit) Refill() time.Duration {
	if l.Burst == 0 {
		return 0
	}
	return l.Window / time.Duration(l.Burst)
}

// EAB is an external account binding (RFC 8555 section 7.3.4).
type EAB struct {
	KeyID Value
	HMAC  Value // base64url, as the CA issues it
}

// Challenge is an ACME challenge type.
type Challenge string

// The challenge types.
const (
	DNS01     Challenge = "dns-01"      // RFC 8555 section 8.4
	HTTP01    Challenge = "http-01"     // RFC 8555 section 8.3
	TLSALPN01 Challenge = "tls-alpn-01" // RFC 8737
)

// DNSAccount proves control of names: with a DNS provider and references to its
// credentials, or with a listener or a webroot for the other challenge types.
type DNSAccount struct {
	Name      string
	Challenge Challenge
	Provider  string // lego's code of the provider; "" unless Challenge is DNS01
	// Credentials maps the provider's environment variables to their values.
	Credentials map[string]Value
	Propagation Propagation
	FollowCNAME bool // follow CNAMEs at _acme-challenge; on unless turned off
	// Zones are the domains that the account answers for, including all names below;
	// empty means any. certroll tries accounts that state a name's zone first.
	Zones []string
	// Parallel is the number of concurrent calls to the provider. The default is 1,
	// because many providers rewrite a whole zone in each call.
	Parallel int
	Listen   string // HTTP01, TLSALPN01: the address to listen on, "host:port"
	Webroot  string // HTTP01: directory for the challenge response, in place of a listener
	Reach    Reach
	Held     []Hold // why certroll does not use it; see NewRule
	// Avoided is set in a copy for one attempt: the account is known to fail, so certroll
	// tries it last.
	Avoided bool
	Range   hcl.Range
}

// Propagation says how certroll decides that the CA can see a TXT record.
type Propagation struct {
	Timeout  time.Duration // 0: the provider's default, or a minute
	Interval time.Duration // 0: the provider's default, or two seconds
	// Nameservers ("host:port") are queried in place of the zone's authoritative ones.
	// certroll also resolves CNAMEs with them.
	Nameservers []string
	Wait        time.Duration // a fixed wait without any check; 0 means check
}

// Certificate is one desired certificate.
type Certificate struct {
	Name string // unique in the repo; with for_each "block.key"
	// MovedFrom are the earlier names from moved blocks, the most recent first.
	MovedFrom []string
	Domains   []Domain // in the order typed, at least one; the first is the primary
	Issuer    string   // name of an Issuer
	// Fallbacks are the next issuers of the list. certroll uses them if Issuer has failed
	// for a while and expiry is near.
	Fallbacks []string
	// DNS are the names of the accounts in the order certroll tries them; at least one.
	DNS     []string
	Key     Key
	Renewal Renewal
	Rotate  string // a new text forces exactly one rotation; "" forces none
	// RotateRevoke requests to revoke the certificate that the rotation replaces; nil
	// leaves it valid.
	RotateRevoke *Revocation
	Vault        Target
	Labels       map[string]string
	OnRemove     OnRemove
	Probes       []Probe   // endpoints that should serve the certificate
	Held         []Hold    // its own holds and those of its issuers and DNS accounts; see NewRule
	Range        hcl.Range // the block's header
	File         string    // the declaring file, relative to the config directory
}

// Names returns the identifiers as sent to the CA, in the order typed: A-labels, and
// addresses in canonical form.
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

// Key is the shape of the private key. A zero field is not stated in the spec: it gets
// the default at first issue and then never changes.
type Key struct {
	Algorithm Algorithm // "", ECDSA or RSA
	Curve     string    // "", "P-256", "P-384" or "P-521"; ECDSA only
	Size      int       // 0, 2048, 3072 or 4096 bits; RSA only
	Rotation  Rotation
	MaxAge    time.Duration // a key this old is rotated even if renewals keep the key; 0 means never
	// Next stages a key: certroll makes the key of the next renewal now and publishes the
	// digest of its public key, so that TLSA records and pins can list it ahead.
	Next bool
}

// DefaultKey is the shape at first issue for fields that the spec leaves open.
var DefaultKey = Key{Algorithm: ECDSA, Curve: "P-256", Rotation: RotateAlways}

// Rotation says whether a renewal makes a new private key.
type Rotation string

// The rotation policies.
const (
	RotateAlways Rotation = "always" // the default
	RotateNever  Rotation = "never"
)

// Renewal says when certroll renews a certificate.
type Renewal struct {
	Auto bool // true unless the spec turns it off
	// certroll renews when at most ThresholdDays days are left, 30 by default, or, if
	// ThresholdPercent is not 0, when at most this percentage of the lifetime is left.
	ThresholdDays    int
	ThresholdPercent int
	ThresholdStated  bool // the spec states a threshold; otherwise the CA's ARI (RFC 9773) decides if the CA offers it
	// A pause, with Auto off: its reason, and the moment when renewals resume. The zero
	// time means that the pause has no end.
	Reason string
	Until  time.Time
	// FallbackAfter is how long an issuer must fail before certroll uses the next one.
	FallbackAfter time.Duration
}

// Revocation requests to revoke a certificate.
type Revocation struct {
	Code uint // CRLReason (RFC 5280 section 5.3.1)
}

// Target is the place in Vault KV v2 for the certificate and its key.
type Target struct {
	Mount  string // without slashes at either end
	Path   string // below the mount, without slashes at either end
	Fields Fields
	// Previous says what certroll does with the secret at the old path after the path
	// changed and certroll wrote the new one: Keep (also "") or Delete.
	Previous OnRemove
}

// OnRemove says what certroll does with the secret after its block was removed.
type OnRemove string

// The removal policies.
const (
	Keep   OnRemove = "keep"   // leave the secret unchanged; the default
	Delete OnRemove = "delete" // soft-delete the secret's current version
	Revoke OnRemove = "revoke" // revoke at the CA, then delete
)

// Unread is a file or directory of a revision that certroll does not read.
type Unread struct {
	Path string // relative to the config directory, with slashes; a directory stands for all its content
	Why  string // continues a sentence that begins with the path
}

// UnreadAt returns the unread entry that may explain why a file of the spec is gone: at
// its path, at a directory above it, or with another extension. It returns nil if there
// is none.
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

// stem returns a path without the extension of HCL or Terraform files, in lower case.
func stem(file string) string {
	lower := strings.ToLower(file)
	for _, ending := range []string{".hcl.json", ".hcl", ".tf"} {
		if strings.HasSuffix(lower, ending) {
			return lower[:len(lower)-len(ending)]
		}
	}
	return lower
}

// Holds returns all holds of the spec, each once with the certificates it concerns,
// sorted by subject.
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

// ConcernedHold is a hold with the names of the certificates it concerns.
type ConcernedHold struct {
	Hold
	Certificates []string
}

// mostOthers is the number of certificates that SameNamesText lists.
const mostOthers = 5

// SameNames returns the sets of certificates that have exactly the same names and the
// same CA. Within a set the order is that of the files. A CA counts them against one
// limit (Let's Encrypt: 5 per 7 days).
func (s *Spec) SameNames() [][]*Certificate {
	bySet := make(map[[sha256.Size]byte][]*Certificate, len(s.Certificates))
	var order [][sha256.Size]byte
	for _, c := range s.Certificates {
		issuer := s.Issuers[c.Issuer]
		if issuer == nil || len(c.Domains) == 0 {
			continue // a mistake that the decoder reports
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

// SameNamesText returns a warning that other certificates of the set have the same names
// as one.
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

// Shape returns the key's algorithm and size, "rsa-2048" or "ecdsa-P-256", with the
// defaults of a first issue.
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
