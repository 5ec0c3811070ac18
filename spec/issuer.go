package spec

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"certroll/spec/text"

	"github.com/hashicorp/hcl/v2"
)

func (d *decoder) decodeIssuers() {
	for _, name := range slices.Sorted(maps.Keys(d.issuerBlocks)) {
		decl := d.issuerBlocks[name]
		d.spec.Issuers[name] = d.decodeIssuer(name, decl)
	}
	d.checkContacts()
}

// checkContacts warns of issuers that share an account and state other contacts:
// each would tell the CA its own in turn.
func (d *decoder) checkContacts() {
	first := map[string]*Issuer{}
	for _, name := range slices.Sorted(maps.Keys(d.spec.Issuers)) {
		i := d.spec.Issuers[name]
		if i.Directory == "" { // refused already
			continue
		}
		other := first[i.accountKey()]
		if other == nil {
			first[i.accountKey()] = i
			continue
		}
		if !strings.EqualFold(i.Email, other.Email) {
			d.report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "One account, two contacts", Subject: &i.Range, Context: &i.Range,
				Detail: fmt.Sprintf("issuer.%s and issuer.%s use one ACME account and state different emails, so the CA hears of one after the other. Give both the same email, or give one of them an account of its own: account = %q.", other.Name, i.Name, i.Name)})
		}
	}
}

func (d *decoder) decodeIssuer(name string, decl declared) *Issuer {
	b := d.body(decl.block, d.contextOf(decl))
	b.subject = "issuer." + name
	i := &Issuer{Name: name, Range: decl.block.DefRange(), Reach: d.reachOf(decl.trusted)}
	needsEAB := b.directory(i)
	b.contact(i)
	if account := b.text("account"); account.ok && account.v != "" {
		if i.Account = account.v; !accountName.MatchString(account.v) {
			b.fault(account.at, "Invalid account", "account = %q: write up to 40 letters, digits, dots, _ and -.", text.Short(account.v))
		}
	}
	i.Profile = b.text("profile").v
	i.PreferredChain = b.text("preferred_chain").v
	i.Processing = b.span("processing_timeout", time.Hour, 30*day).v
	b.caBundle(i)
	i.Limits = b.limits(i.Directory)
	if eab := b.block("eab"); eab != nil {
		i.EAB = eab.eab(decl.trusted)
	} else if needsEAB {
		b.missing("eab", "this CA opens accounts only by external account binding: eab { key_id = \"...\", hmac = vault(\"mount/path\", \"field\") }, on two lines, with what its console hands out")
	}
	b.done()
	return i
}

// directory reads the CA's URL; needsEAB is true where the CA is known to want
// an account binding.
func (b *body) directory(i *Issuer) (needsEAB bool) {
	s := b.text("directory")
	switch {
	case s.at == nil: // left out, or null
		b.lacking("directory", "the URL of the CA's ACME directory, or one of "+strings.Join(slices.Sorted(maps.Keys(Directories())), ", "))
		return false
	case !s.ok:
		return false
	}
	if known, ok := DirectoryURL(s.v); ok {
		i.Directory = known
		return NeedsBinding(known)
	}
	u, err := url.Parse(s.v)
	switch {
	case err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == "":
		i.Directory = s.v
		b.checkDirectory(i, u, s.at)
	case err == nil && u.Scheme == "http":
		b.fault(s.at, "Invalid directory", "ACME is spoken over HTTPS only (RFC 8555 section 6.1); write https://. For a private CA, put its certificate into ca_bundle.")
	default:
		b.fault(s.at, "Invalid directory", "directory = %q: write an https:// URL, or one of %s.%s", s.v,
			strings.Join(slices.Sorted(maps.Keys(Directories())), ", "), didYouMean(s.v, slices.Collect(maps.Keys(Directories()))))
	}
	return NeedsBinding(i.Directory)
}

// checkDirectory holds the host of a CA that is not well known against
// trust.endpoints: the CA is handed what the account binding holds, and its words
// end up in the ledger.
func (b *body) checkDirectory(i *Issuer, u *url.URL, at *hcl.Range) {
	if i.Reach.Anything || knownCA(i.Directory) {
		return
	}
	host, port, ok := parseEndpoint(urlVariable, "https://"+u.Host)
	if !ok {
		b.fault(at, "Invalid directory", "directory = %q: write the host as a name or an address, with or without a port.", text.Short(i.Directory))
		return
	}
	b.checkEndpoint(i.Reach, "directory", host, port, at)
}

// accountName is how the account of an issuer may be called.
var accountName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,40}$`)

func (b *body) contact(i *Issuer) {
	email := b.text("email")
	if i.Email = strings.TrimPrefix(email.v, "mailto:"); email.ok && i.Email != "" {
		if a, err := mail.ParseAddress(i.Email); err != nil || a.Address != i.Email {
			b.fault(email.at, "Invalid e-mail address", "email = %q: write one address, as in \"certs@example.com\".", email.v)
		}
	}
	tos := b.boolean("terms_of_service_agreed")
	i.AgreeTOS = tos.v
	switch {
	case tos.at == nil:
		b.lacking("terms_of_service_agreed", "read the CA's terms of service, which its directory links, and set it to true")
	case tos.ok && !tos.v:
		b.fault(tos.at, "Terms of service not agreed", "The CA opens no account unless its terms of service are agreed to. Read them (its directory links them), and set terms_of_service_agreed to true.")
	}
}

func (b *body) caBundle(i *Issuer) {
	s := b.text("ca_bundle")
	if !s.ok {
		return
	}
	rest := []byte(strings.TrimSpace(s.v))
	for n := 1; len(rest) > 0; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); n == 1 && block == nil {
			b.fault(s.at, "Invalid CA bundle", "ca_bundle is no file's name: it holds the certificates themselves, in PEM, as a heredoc: <<-PEM ... PEM.")
			return
		}
		if block == nil || block.Type != "CERTIFICATE" {
			b.fault(s.at, "Invalid CA bundle", "ca_bundle holds certificates in PEM and nothing else, as a heredoc: <<-PEM ... PEM. Part %d is none.", n)
			return
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			b.fault(s.at, "Invalid CA bundle", "Certificate %d of ca_bundle does not parse: %s.", n, err)
			return
		}
		rest = []byte(strings.TrimSpace(string(rest)))
	}
	i.CABundle = s.v
}

func (b *body) eab(trusted bool) *EAB {
	e := &EAB{}
	e.KeyID = b.reference("key_id", trusted, "as the CA handed it out")
	if !trusted && e.KeyID.Source != Literal && e.KeyID.Source != "" {
		b.refuseNew(NewRule{Name: "eab.key_id", Allow: Allowance{Text: b.source()}}, &e.KeyID.Range, "Reference not allowed here",
			"The key id of an account binding is no secret: the CA gets it as it is, and so would whoever directory names. Write the id itself. Only an issuer block in certroll.hcl may have a reference here.")
	}
	e.HMAC = b.reference("hmac", trusted, "a reference: vault(\"mount/path\", \"field\") or env(\"NAME\")")
	if e.HMAC.Source == Literal {
		b.fault(&e.HMAC.Range, "Secret written into the file", "The HMAC key of an account binding is a secret, and this file is in Git. Put it into Vault and write hmac = vault(\"mount/path\", \"field\"), or hand it to the reconciler's environment and write env(\"%sEAB_HMAC\"). What was committed should be taken back at the CA.", b.d.firstEnv())
	}
	b.done()
	return e
}

// reference reads a setting that is a text or a reference.
func (b *body) reference(name string, trusted bool, how string) Value {
	v := b.value(name)
	if v.at == nil {
		b.lacking(name, how)
	}
	if !v.ok {
		return Value{}
	}
	value, ok := b.toValue(name, v.v, v.at, trusted)
	if ok && value.Source == Literal && value.Text == "" {
		b.fault(v.at, "Empty setting", "%s is %s.", name, how)
	}
	return value
}
