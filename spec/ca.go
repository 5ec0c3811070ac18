package spec

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// directory is a CA with a short name in the spec.
type directory struct {
	url string
	eab bool // the CA creates no account without an external account binding
}

// directories maps short names to the CAs' directories. Sources:
//
//	https://letsencrypt.org/docs/acme-protocol-updates/
//	https://zerossl.com/documentation/acme/
//	https://cloud.google.com/certificate-manager/docs/public-ca-tutorial
//	https://www.ssl.com/guide/ssl-tls-certificate-issuance-and-revocation-with-acme/
var directories = map[string]directory{
	"letsencrypt":         {"https://acme-v02.api.letsencrypt.org/directory", false},
	"letsencrypt-staging": {"https://acme-staging-v02.api.letsencrypt.org/directory", false},
	"zerossl":             {"https://acme.zerossl.com/v2/DV90", true},
	"google":              {"https://dv.acme-v02.api.pki.goog/directory", true},
	"google-staging":      {"https://dv.acme-v02.test-api.pki.goog/directory", true},
	"sslcom-rsa":          {"https://acme.ssl.com/sslcom-dv-rsa", true},
	"sslcom-ecc":          {"https://acme.ssl.com/sslcom-dv-ecc", true},
}

// Directories returns the short names of CAs. The value is true if the CA requires an
// external account binding (RFC 8555 section 7.3.4).
func Directories() map[string]bool {
	all := make(map[string]bool, len(directories))
	for name, d := range directories {
		all[name] = d.eab
	}
	return all
}

// DirectoryURL returns the directory URL of a CA by its short name.
func DirectoryURL(name string) (url string, ok bool) {
	d, ok := directories[name]
	return d.url, ok
}

// NeedsBinding reports whether the CA at this directory URL is known to require an
// external account binding.
func NeedsBinding(url string) bool {
	for _, d := range directories {
		if d.url == url {
			return d.eab
		}
	}
	return false
}

// IsPublicCA reports whether the issuer is one of the CAs with a short name.
func (i *Issuer) IsPublicCA() bool {
	for _, d := range directories {
		if d.url == i.Directory {
			return true
		}
	}
	return false
}

// Caps are the limits of a CA's profile on one certificate: the number of names, and
// whether the profile allows IP addresses.
type Caps struct {
	Names int
	IPs   bool
}

// CapsOf returns the limits of the issuer's profile. Only Let's Encrypt publishes such
// limits (https://letsencrypt.org/docs/profiles/); for other CAs ok is false.
func CapsOf(i *Issuer) (Caps, bool) {
	if i.Directory != directories["letsencrypt"].url && i.Directory != directories["letsencrypt-staging"].url {
		return Caps{}, false
	}
	c, ok := map[string]Caps{
		"": {100, false}, "classic": {100, false}, "tlsserver": {25, false}, "shortlived": {25, true},
	}[i.Profile]
	return c, ok
}

// lifetimes are the validity periods of Let's Encrypt's profiles today
// (https://letsencrypt.org/docs/profiles/). They will shrink: classic becomes 64 days on
// 2027-02-10. Use them for estimates only.
var lifetimes = map[string]time.Duration{"": 90 * Day, "classic": 90 * Day, "tlsserver": 45 * Day, "shortlived": 160 * time.Hour}

// Lifetime returns how long the issuer's certificates are valid, if the CA publishes it.
// For an issued certificate, use its own notBefore and notAfter.
func (i *Issuer) Lifetime() (time.Duration, bool) {
	_, known := CapsOf(i)
	life := lifetimes[i.Profile]
	return life, known && life > 0
}

// AccountKey returns the identity of the issuer's ACME account as the spec describes it:
// the directory, the account name and the source of the EAB key id. The block's name is
// not part of it, because people rename blocks.
func (i *Issuer) AccountKey() string {
	key := i.Directory + "\x00" + i.Account
	if i.EAB != nil {
		k := i.EAB.KeyID
		key += "\x00" + strings.Join([]string{string(k.Source), k.Text, k.Path, k.Field, k.Name}, "\x1f")
	}
	return key
}

// SameAccount reports whether two issuers use the same ACME account.
func (i *Issuer) SameAccount(other *Issuer) bool { return i.AccountKey() == other.AccountKey() }

// IsKnownCA reports whether the directory URL belongs to a well-known public CA.
func IsKnownCA(directory string) bool {
	u, err := url.Parse(directory)
	if err != nil {
		return false
	}
	return slices.Contains(knownCAHosts, strings.ToLower(u.Host))
}

// knownCAHosts are the ACME hosts of public CAs, from the CAs' documentation.
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

// letsEncryptLimits are the rate limits of Let's Encrypt's production environment:
// https://letsencrypt.org/docs/rate-limits/.
var letsEncryptLimits = Limits{
	Orders:              Limit{300, 3 * time.Hour},
	PerDomain:           Limit{50, 7 * Day},
	ExactSet:            Limit{5, 7 * Day},
	FailedValidations:   Limit{5, time.Hour},
	ConsecutiveFailures: 1152,
}

// KnownLimits returns the published rate limits of the CA at this directory, or the zero
// value if certroll knows none.
func KnownLimits(directory string) Limits {
	if directory == directories["letsencrypt"].url {
		return letsEncryptLimits
	}
	return Limits{}
}
