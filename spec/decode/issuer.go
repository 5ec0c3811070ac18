package decode

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

	"github.com/hashicorp/hcl/v2"

	"certroll/spec"
	"certroll/spec/block"
	"certroll/spec/hint"
	"certroll/spec/providers"
	"certroll/spec/text"
)

func (d *decoder) decodeIssuers() {
	for _, name := range slices.Sorted(maps.Keys(d.IssuerBlocks)) {
		decl := d.IssuerBlocks[name]
		d.spec.Issuers[name] = d.decodeIssuer(name, decl)
	}
	d.checkContacts()
}

// checkContacts warns of issuers that share an account but state different contacts. Each
// would in turn replace the contact at the CA.
func (d *decoder) checkContacts() {
	first := map[string]*spec.Issuer{}
	for _, name := range slices.Sorted(maps.Keys(d.spec.Issuers)) {
		i := d.spec.Issuers[name]
		if i.Directory == "" { // rejected already
			continue
		}
		other := first[i.AccountKey()]
		if other == nil {
			first[i.AccountKey()] = i
			continue
		}
		if !strings.EqualFold(i.Email, other.Email) {
			d.Report(&hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "One account, two contacts", Subject: &i.Range, Context: &i.Range,
				Detail: fmt.Sprintf("issuer.%s and issuer.%s use one ACME account and state different emails, so the CA hears of one after the other. Give both the same email, or give one of them an account of its own: account = %q.", other.Name, i.Name, i.Name)})
		}
	}
}

// decodeIssuer decodes an issuer block. The directory comes first: the default limits and
// the need for an account binding depend on it.
func (d *decoder) decodeIssuer(name string, decl block.Declared) *spec.Issuer {
	b := d.body(decl.Block, d.contextOf(decl))
	b.Subject = "issuer." + name
	i := &spec.Issuer{Name: name, Range: decl.Block.DefRange(), Reach: d.reachOf(decl.Trusted)}
	needsEAB := b.directory(i)
	b.contact(i)
	if account := b.Text("account"); account.OK && account.Value != "" {
		if i.Account = account.Value; !accountName.MatchString(account.Value) {
			b.Fault(account.At, "Invalid account", "account = %q: write up to 40 letters, digits, dots, _ and -.", text.Short(account.Value))
		}
	}
	i.Profile = b.Text("profile").Value
	i.PreferredChain = b.Text("preferred_chain").Value
	i.Processing = b.Span("processing_timeout", time.Hour, 30*spec.Day).Value
	b.caBundle(i)
	i.Limits = b.limits(i.Directory)
	if eab := b.block("eab"); eab != nil {
		i.EAB = eab.eab(decl.Trusted)
	} else if needsEAB {
		b.Missing("eab", "this CA opens accounts only by external account binding: eab { key_id = \"...\", hmac = vault(\"mount/path\", \"field\") }, on two lines, with what its console hands out")
	}
	b.Finish()
	return i
}

// directory reads the CA's URL. needsEAB is true if the CA is known to require an
// external account binding.
func (b *body) directory(i *spec.Issuer) (needsEAB bool) {
	s := b.Text("directory")
	switch {
	case s.At == nil: // left out, or null
		b.Lacking("directory", "the URL of the CA's ACME directory, or one of "+strings.Join(slices.Sorted(maps.Keys(spec.Directories())), ", "))
		return false
	case !s.OK:
		return false
	}
	if known, ok := spec.DirectoryURL(s.Value); ok {
		i.Directory = known
		return spec.NeedsBinding(known)
	}
	u, err := url.Parse(s.Value)
	switch {
	case err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == "":
		i.Directory = s.Value
		b.checkDirectory(i, u, s.At)
	case err == nil && u.Scheme == "http":
		b.Fault(s.At, "Invalid directory", "ACME is spoken over HTTPS only (RFC 8555 section 6.1); write https://. For a private CA, put its certificate into ca_bundle.")
	default:
		b.Fault(s.At, "Invalid directory", "directory = %q: write an https:// URL, or one of %s.%s", s.Value,
			strings.Join(slices.Sorted(maps.Keys(spec.Directories())), ", "), hint.DidYouMean(s.Value, slices.Collect(maps.Keys(spec.Directories()))))
	}
	return spec.NeedsBinding(i.Directory)
}

// checkDirectory checks the host of a CA that is not well known against trust.endpoints.
// The limit matters because certroll sends the account binding to the CA, and writes the
// CA's texts into the ledger.
func (b *body) checkDirectory(i *spec.Issuer, u *url.URL, at *hcl.Range) {
	if i.Reach.Anything || spec.IsKnownCA(i.Directory) {
		return
	}
	host, port, ok := spec.ParseEndpoint(providers.URL, "https://"+u.Host)
	if !ok {
		b.Fault(at, "Invalid directory", "directory = %q: write the host as a name or an address, with or without a port.", text.Short(i.Directory))
		return
	}
	b.checkEndpoint(i.Reach, "directory", host, port, at)
}

// accountName matches valid names of an issuer's account.
var accountName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,40}$`)

// contact reads the email and the agreement to the CA's terms of service. The agreement
// is mandatory, because a CA may refuse an account without it (RFC 8555 section 7.3).
func (b *body) contact(i *spec.Issuer) {
	email := b.Text("email")
	if i.Email = strings.TrimPrefix(email.Value, "mailto:"); email.OK && i.Email != "" {
		if a, err := mail.ParseAddress(i.Email); err != nil || a.Address != i.Email {
			b.Fault(email.At, "Invalid e-mail address", "email = %q: write one address, as in \"certs@example.com\".", email.Value)
		}
	}
	tos := b.Boolean("terms_of_service_agreed")
	i.AgreeTOS = tos.Value
	switch {
	case tos.At == nil:
		b.Lacking("terms_of_service_agreed", "read the CA's terms of service, which its directory links, and set it to true")
	case tos.OK && !tos.Value:
		b.Fault(tos.At, "Terms of service not agreed", "The CA opens no account unless its terms of service are agreed to. Read them (its directory links them), and set terms_of_service_agreed to true.")
	}
}

// caBundle reads the root certificates of a private CA. It parses all of them, so that a
// mistake shows here and not as a failed connection.
func (b *body) caBundle(i *spec.Issuer) {
	s := b.Text("ca_bundle")
	if !s.OK {
		return
	}
	rest := []byte(strings.TrimSpace(s.Value))
	for n := 1; len(rest) > 0; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); n == 1 && block == nil {
			b.Fault(s.At, "Invalid CA bundle", "ca_bundle is no file's name: it holds the certificates themselves, in PEM, as a heredoc: <<-PEM ... PEM.")
			return
		}
		if block == nil || block.Type != "CERTIFICATE" {
			b.Fault(s.At, "Invalid CA bundle", "ca_bundle holds certificates in PEM and nothing else, as a heredoc: <<-PEM ... PEM. Part %d is none.", n)
			return
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			b.Fault(s.At, "Invalid CA bundle", "Certificate %d of ca_bundle does not parse: %s.", n, err)
			return
		}
		rest = []byte(strings.TrimSpace(string(rest)))
	}
	i.CABundle = s.Value
}

// eab reads an account binding. The HMAC key must be a reference, because the file is in
// Git. In the config repo the key id must be a literal: certroll sends it to the CA in
// plain text, so a reference could leak a secret to the server in directory.
func (b *body) eab(trusted bool) *spec.EAB {
	e := &spec.EAB{}
	e.KeyID = b.reference("key_id", trusted, "as the CA handed it out")
	if !trusted && e.KeyID.Source != spec.Literal && e.KeyID.Source != "" {
		b.RefuseNew(spec.NewRule{Name: "eab.key_id", Allow: spec.Allowance{Text: b.Source()}}, &e.KeyID.Range, "Reference not allowed here",
			"The key id of an account binding is not secret: the CA reads it, and so would any server that directory names. Write the id itself. Only an issuer block in certroll.hcl may have a reference here.")
	}
	e.HMAC = b.reference("hmac", trusted, "a reference: vault(\"mount/path\", \"field\") or env(\"NAME\")")
	if e.HMAC.Source == spec.Literal {
		b.Fault(&e.HMAC.Range, "Secret written into the file", "The HMAC key of an account binding is a secret, and this file is in Git. Put it into Vault and write hmac = vault(\"mount/path\", \"field\"), or hand it to the reconciler's environment and write env(\"%sEAB_HMAC\"). What was committed should be taken back at the CA.", b.d.firstEnv())
	}
	b.Finish()
	return e
}

// reference reads a setting that is a text or a reference.
func (b *body) reference(name string, trusted bool, how string) spec.Value {
	v := b.Eval(name)
	if v.At == nil {
		b.Lacking(name, how)
	}
	if !v.OK {
		return spec.Value{}
	}
	value, ok := b.toValue(name, v.Value, v.At, trusted)
	if ok && value.Source == spec.Literal && value.Text == "" {
		b.Fault(v.At, "Empty setting", "%s is %s.", name, how)
	}
	return value
}
