package spec

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// directory is a CA that is known by a short name.
type directory struct {
	url string
	eab bool // the CA takes no account without an external account binding
}

// directories are the short names, from the CAs' own documentation:
// https://letsencrypt.org/docs/acme-protocol-updates/,
// https://zerossl.com/documentation/acme/,
// https://cloud.google.com/certificate-manager/docs/public-ca-tutorial,
// https://www.ssl.com/guide/ssl-tls-certificate-issuance-and-revocation-with-acme/.
var directories = map[string]directory{
	"letsencrypt":         {"https://acme-v02.api.letsencrypt.org/directory", false},
	"letsencrypt-staging": {"https://acme-staging-v02.api.letsencrypt.org/directory", false},
	"zerossl":             {"https://acme.zerossl.com/v2/DV90", true},
	"google":              {"https://dv.acme-v02.api.pki.goog/directory", true},
	"google-staging":      {"https://dv.acme-v02.test-api.pki.goog/directory", true},
	"sslcom-rsa":          {"https://acme.ssl.com/sslcom-dv-rsa", true},
	"sslcom-ecc":          {"https://acme.ssl.com/sslcom-dv-ecc", true},
}

// Directories are the CAs that have a short name, and whether they take no account
// without an external account binding (RFC 8555, section 7.3.4).
func Directories() map[string]bool {
	all := make(map[string]bool, len(directories))
	for name, d := range directories {
		all[name] = d.eab
	}
	return all
}

// DirectoryURL is the directory of a CA that has a short name.
func DirectoryURL(name string) (url string, ok bool) {
	d, ok := directories[name]
	return d.url, ok
}

// NeedsBinding tells whether the CA of a directory is known to take no account without
// an external account binding.
func NeedsBinding(url string) bool {
	for _, d := range directories {
		if d.url == url {
			return d.eab
		}
	}
	return false
}

// IsPublicCA tells whether the issuer is one of the public CAs known by a short name.
func (i *Issuer) IsPublicCA() bool {
	for _, d := range directories {
		if d.url == i.Directory {
			return true
		}
	}
	return false
}

// Caps are what a profile of a CA takes in one certificate.
type Caps struct {
	Names int
	IPs   bool
}

// CapsOf are Let's Encrypt's, by profile: https://letsencrypt.org/docs/profiles/.
// Other CAs say no such thing in public; nothing is known of them.
func CapsOf(i *Issuer) (Caps, bool) {
	if i.Directory != directories["letsencrypt"].url && i.Directory != directories["letsencrypt-staging"].url {
		return Caps{}, false
	}
	c, ok := map[string]Caps{
		"": {100, false}, "classic": {100, false}, "tlsserver": {25, false}, "shortlived": {25, true},
	}[i.Profile]
	return c, ok
}

// lifetimes are what Let's Encrypt's profiles issue for:
// https://letsencrypt.org/docs/profiles/.
var lifetimes = map[string]time.Duration{"": 90 * Day, "classic": 90 * Day, "tlsserver": 45 * Day, "shortlived": 160 * time.Hour}

// Lifetime is how long the issuer's certificates live, as far as it says so in
// public. What was issued is better asked itself.
func (i *Issuer) Lifetime() (time.Duration, bool) {
	_, known := CapsOf(i)
	life := lifetimes[i.Profile]
	return life, known && life > 0
}

// AccountKey is the identity of an issuer's ACME account as far as it is known
// from the spec.
func (i *Issuer) AccountKey() string {
	key := i.Directory + "\x00" + i.Account
	if i.EAB != nil {
		k := i.EAB.KeyID
		key += "\x00" + strings.Join([]string{string(k.Source), k.Text, k.Path, k.Field, k.Name}, "\x1f")
	}
	return key
}

// SameAccount tells whether two issuers use one ACME account.
func (i *Issuer) SameAccount(other *Issuer) bool { return i.AccountKey() == other.AccountKey() }

// IsKnownCA tells whether a directory is one of a well-known CA.
func IsKnownCA(directory string) bool {
	u, err := url.Parse(directory)
	if err != nil {
		return false
	}
	return slices.Contains(knownCAHosts, strings.ToLower(u.Host))
}

// knownCAHosts are the hosts of public CAs that speak ACME, from their own
// documentation.
var knownCAHosts = []string{
	"acme-v02.api.letsencrypt.org", "acme-staging-v02.api.letsencrypt.org",
	"acme.zerossl.com",
	"dv.acme-v02.api.pki.goog", "dv.acme-v02.test-api.pki.goog",
	"acme.ssl.com",
	"api.buypass.com", "api.test4.buypass.no",
	"acme.sectigo.com", "acme-ov.sectigo.com", "acme-ev.sectigo.com",
	"acme.digicert.com",
	"emea.acme.atlas.globalsign.com",
	"acme-api.actalis.com",
}

// letsEncryptLimits are those of Let's Encrypt's production environment:
// https://letsencrypt.org/docs/rate-limits/.
var letsEncryptLimits = Limits{
	Orders:              Limit{300, 3 * time.Hour},
	PerDomain:           Limit{50, 7 * Day},
	ExactSet:            Limit{5, 7 * Day},
	FailedValidations:   Limit{5, time.Hour},
	ConsecutiveFailures: 1152,
}

// KnownLimits are the rate limits of a CA that are known; the zero value: none.
func KnownLimits(directory string) Limits {
	if directory == directories["letsencrypt"].url {
		return letsEncryptLimits
	}
	return Limits{}
}
