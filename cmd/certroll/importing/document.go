package importing

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/decode"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

// Options are the settings for the HCL.
type Options struct {
	Tool   string // the source's name, for people
	Issuer string // an existing or future issuer block; "": make blocks
	DNS    string // an existing or future dns block; "": make blocks
	Mount  string // the mount of the pairs, and the default mount of certificates
	Prefix string // of the pairs' paths
	Trust  spec.Trust
}

// document is a file of the config repo under construction: the certificates, and the
// blocks that they refer to, each once.
type document struct {
	o        Options
	issuers  []issuerBlock
	accounts []accountBlock
	certs    []certBlock
	taken    map[string]bool // used names, by block type, in lower case
}

type issuerBlock struct {
	name string
	Issuer
}

type accountBlock struct {
	name string
	Account
}

type certBlock struct {
	name, issuer string
	dns          []string
	*Found
}

func newDocument(o Options) *document { return &document{o: o, taken: map[string]bool{}} }

// add adds a certificate to the file, with the blocks that it needs.
func (d *document) add(f *Found) {
	b := certBlock{name: d.name("certificate", blockName(f.Name)), issuer: d.o.Issuer, Found: f}
	if b.issuer == "" {
		b.issuer = d.issuer(f.issuer())
	}
	if d.o.DNS != "" {
		b.dns = []string{d.o.DNS}
	} else {
		for _, a := range f.accounts() {
			if name := d.account(a); !slices.Contains(b.dns, name) {
				b.dns = append(b.dns, name)
			}
		}
	}
	d.certs = append(d.certs, b)
}

// name makes a name unique among the blocks of its type.
func (d *document) name(kind, wanted string) string {
	name := wanted
	for n := 2; d.taken[kind+" "+strings.ToLower(name)]; n++ {
		name = wanted + "-" + strconv.Itoa(n)
	}
	d.taken[kind+" "+strings.ToLower(name)] = true
	return name
}

func (d *document) issuer(i Issuer) string {
	for _, b := range d.issuers {
		if b.Issuer == i {
			return b.name
		}
	}
	name := "fill-in"
	if known, ok := caOf(i.Directory); ok {
		name = known.name
	} else if u, err := url.Parse(i.Directory); err == nil && u.Hostname() != "" {
		name = u.Hostname()
	}
	if i.Profile != "" {
		name += "-" + i.Profile
	}
	b := issuerBlock{d.name("issuer", identifier(name)), i}
	d.issuers = append(d.issuers, b)
	return b.name
}

func (d *document) account(a Account) string {
	for _, b := range d.accounts {
		if b.Challenge == a.Challenge && b.Provider == a.Provider && b.Login == a.Login && b.Webroot == a.Webroot && (b.Provider != "" || b.Tool == a.Tool) {
			return b.name
		}
	}
	name := cmp.Or(a.Provider, "fill-in")
	if a.Challenge != spec.DNS01 {
		name = strings.TrimSuffix(string(a.Challenge), "-01")
	}
	b := accountBlock{d.name("dns", identifier(name)), a}
	d.accounts = append(d.accounts, b)
	return b.name
}

func caOf(directory string) (ca, bool) {
	i := slices.IndexFunc(knownCAs, func(c ca) bool { return c.url == directory })
	if i < 0 {
		return ca{}, false
	}
	return knownCAs[i], true
}

// issuer returns the issuer of renewals: from the files, else from the certificate.
func (f *Found) issuer() Issuer {
	i := f.Issuer
	if i.Directory == "" && f.leaf() != nil {
		for _, org := range f.leaf().Issuer.Organization {
			for _, known := range knownCAs {
				if known.org != "" && strings.HasPrefix(org, known.org) {
					i.Directory = known.url
				}
			}
		}
	}
	if _, known := caOf(i.Directory); known && strings.Contains(i.Directory, "letsencrypt") && f.hasAddress() && i.Profile == "" {
		i.Profile = "shortlived" // the only profile with IP addresses
	}
	return i
}

func (f *Found) hasAddress() bool { return f.leaf() != nil && len(f.leaf().IPAddresses) > 0 }

func (f *Found) hasWildcard() bool {
	return slices.ContainsFunc(f.Names(), func(n string) bool { return strings.HasPrefix(n, "*.") })
}

// accounts returns the found accounts that can prove the names, or one to fill in: only
// DNS can prove a wildcard, and it cannot prove an address.
func (f *Found) accounts() []Account {
	fitting := slices.DeleteFunc(slices.Clone(f.Accounts), func(a Account) bool {
		return a.Challenge == spec.DNS01 && f.hasAddress() || a.Challenge != spec.DNS01 && f.hasWildcard()
	})
	switch {
	case len(fitting) > 0:
		return fitting
	case f.hasAddress():
		return []Account{{Challenge: spec.HTTP01}}
	default:
		return []Account{{Challenge: spec.DNS01}}
	}
}

var (
	notInName       = regexp.MustCompile(`[^A-Za-z0-9._-]+`)
	notInIdentifier = regexp.MustCompile(`[^A-Za-z0-9_-]+`)
)

// blockName derives a certificate's name from a tool's: "*.example.com" becomes
// "wildcard.example.com".
func blockName(name string) string {
	for _, star := range []string{"*.", "_."} {
		if rest, ok := strings.CutPrefix(name, star); ok {
			name = "wildcard." + rest
		}
	}
	name = strings.TrimLeft(notInName.ReplaceAllString(name, "-"), "._-")
	return cmp.Or(name[:min(len(name), 120)], "imported") // leave room for a number
}

// identifier derives a name that HCL can refer to.
func identifier(name string) string {
	name = strings.Trim(notInIdentifier.ReplaceAllString(name, "-"), "-_")
	if name == "" || strings.ContainsAny(name[:1], "0123456789") {
		name = "x-" + name
	}
	return name
}

// check decodes the file and returns its errors. Rules that certroll.hcl can allow are
// not among them: see needs.
func (d *document) check() (problems []string) {
	_, diags := d.decode(false)
	for _, diag := range diags {
		if _, allowable := diag.Extra.(spec.NewRule); diag.Severity == hcl.DiagError && !allowable {
			problems = append(problems, strings.TrimSuffix(diag.Detail, "."))
		}
	}
	return problems
}

// needs returns the rules that certroll.hcl must allow before the config repo can
// contain the file, or that a person must satisfy.
func (d *document) needs() []spec.ConcernedHold {
	if _, diags := d.decode(false); !spec.OnlyNewRules(diags) {
		return nil
	}
	desired, diags := d.decode(true)
	if diags.HasErrors() {
		return nil
	}
	return desired.Holds()
}

// decode decodes the file. With inForce, new rules hold certificates and do not reject
// the file.
func (d *document) decode(inForce bool) (*spec.Spec, hcl.Diagnostics) {
	files := []spec.File{{Path: fileName, Bytes: d.render()}}
	if stubs := d.stubs(); stubs != "" {
		files = append(files, spec.File{Path: "stubs.hcl", Bytes: []byte(stubs)})
	}
	trust := d.o.Trust
	trust.Files = nil // certroll.hcl's blocks are not part of the new file
	trust.InForce = inForce
	trust.Endpoints = slices.Concat(trust.Endpoints, standIns)
	return decode.Files(context.Background(), files, trust)
}

// fileName is the file's name in messages.
const fileName = "import.hcl"

// standIns allows the placeholder addresses, which nobody needs to allow in
// certroll.hcl.
var standIns, _ = spec.ParseProbeRules([]string{"acme.example.com:443", fillInAddress + ":*"})

// stubs replace existing blocks, whose contents are unknown here.
func (d *document) stubs() string {
	var b strings.Builder
	if d.o.Issuer != "" {
		fmt.Fprintf(&b, "issuer %q {\n  directory = %q\n  terms_of_service_agreed = true\n}\n", d.o.Issuer, fillInCA)
	}
	if d.o.DNS != "" {
		challenge := `provider = "rfc2136"`
		if slices.ContainsFunc(d.certs, func(c certBlock) bool { return c.hasAddress() }) {
			challenge = `challenge = "http-01"`
		}
		fmt.Fprintf(&b, "dns %q {\n  %s\n}\n", d.o.DNS, challenge)
	}
	return b.String()
}

// admit checks that the spec accepts a certificate, and refuses it with the spec's
// errors if not.
func (o Options) admit(f *Found) {
	d := newDocument(o)
	d.add(f)
	if problems := d.check(); len(problems) > 0 {
		f.refuse("%s", strings.Join(problems, "; "))
	}
}
