package importing

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"certroll/spec"
	"certroll/spec/providers"
	visible "certroll/spec/text"
)

// FillIn marks a line that a person must complete.
const FillIn = "FILL IN: "

// Placeholders for an address or an id until a person completes it. The names are
// reserved (RFC 2606), so no query for them reaches a real server.
const (
	fillInCA      = "https://acme.example.com/directory"
	fillInAddress = "fill-in.example.com"
	fillInID      = "fill-in"
)

// addressVariables are the variables that the config repo must give as plain text,
// because certroll checks them against trust.endpoints.
var addressVariables = sync.OnceValue(providers.AddressVariables)

// render writes the file.
func (d *document) render() []byte {
	f := hclwrite.NewEmptyFile()
	comment(f.Body(), "Written by certroll import "+d.o.Tool+". Nothing was issued: the next apply adopts what is in Vault.")
	for _, b := range d.issuers {
		f.Body().AppendNewline()
		d.renderIssuer(f.Body(), b)
	}
	for _, b := range d.accounts {
		f.Body().AppendNewline()
		d.renderAccount(f.Body(), b)
	}
	for _, b := range d.certs {
		f.Body().AppendNewline()
		d.renderCertificate(f.Body(), b)
	}
	return hclwrite.Format(f.Bytes())
}

func (d *document) renderIssuer(into *hclwrite.Body, b issuerBlock) {
	body := into.AppendNewBlock("issuer", []string{b.name}).Body()
	known, ok := caOf(b.Directory)
	switch {
	case ok:
		text(body, "directory", known.name)
	case b.Directory != "":
		text(body, "directory", b.Directory)
	default:
		comment(body, FillIn+"write the ACME directory of the CA that issued these certificates. If the CA is not well known, trust.endpoints in certroll.hcl must allow it.")
		text(body, "directory", fillInCA)
	}
	if b.Email != "" {
		text(body, "email", b.Email)
	}
	comment(body, FillIn+"read the CA's terms of service. With this line certroll agrees to them when it registers its own account.")
	body.SetAttributeValue("terms_of_service_agreed", cty.True)
	if b.Profile != "" {
		text(body, "profile", b.Profile)
	}
	if b.PreferredChain != "" {
		text(body, "preferred_chain", b.PreferredChain)
	}
	if known.eab {
		comment(body, FillIn+"the external account binding from the CA's console: write the key id here, and store the HMAC key in the place that hmac names.")
		eab := body.AppendNewBlock("eab", nil).Body()
		text(eab, "key_id", fillInID)
		eab.SetAttributeRaw("hmac", d.reference(b.name, "EAB_HMAC"))
	}
}

func (d *document) renderAccount(into *hclwrite.Body, b accountBlock) {
	if b.Tool != "" {
		comment(into, "Was "+b.Tool+".")
	}
	body := into.AppendNewBlock("dns", []string{b.name}).Body()
	switch b.Challenge {
	case spec.HTTP01, spec.TLSALPN01:
		text(body, "challenge", string(b.Challenge))
		if b.Webroot != "" {
			comment(body, FillIn+"it was webroot = "+strconv.Quote(b.Webroot)+", which trust.webroots in certroll.hcl must allow. Without a webroot, certroll listens on port 80 itself.")
		} else {
			comment(body, FillIn+"the CA must reach the machine that certroll runs on.")
		}
		return
	}
	if b.Provider == "" {
		comment(body, FillIn+"replace the placeholder by your provider, and add its credentials; see https://go-acme.github.io/lego/dns/.")
		text(body, "provider", "rfc2136")
		return
	}
	text(body, "provider", b.Provider)
	names := providers.Required(b.Provider)
	if len(names) == 0 {
		comment(body, FillIn+"write the credentials, with the variables of https://go-acme.github.io/lego/dns/"+b.Provider+"/.")
		return
	}
	comment(body, FillIn+"store the credentials in the places that these references name. Values that are not secret may be written here as text.")
	items := make([]hclwrite.ObjectAttrTokens, len(names))
	for i, name := range names {
		value := d.reference(b.name, name)
		if slices.Contains(addressVariables()[b.Provider], name) {
			comment(body, FillIn+name+": write the address itself; trust.endpoints in certroll.hcl must allow it.")
			value = hclwrite.TokensForValue(cty.StringVal(fillInAddress))
		}
		items[i] = hclwrite.ObjectAttrTokens{Name: hclwrite.TokensForIdentifier(name), Value: value}
	}
	body.SetAttributeRaw("credentials", hclwrite.TokensForObject(items))
}

// reference returns a reference that the config repo may use: vault() if certroll.hcl
// trusts a path, else env().
func (d *document) reference(block, name string) hclwrite.Tokens {
	for _, prefix := range d.o.Trust.Vault {
		if prefix = strings.Trim(prefix, "/"); strings.Contains(prefix, "/") {
			return call("vault", prefix+"/"+block, name)
		}
	}
	prefix := "CERTROLL_DNS_"
	if len(d.o.Trust.Env) > 0 {
		prefix = d.o.Trust.Env[0]
	}
	return call("env", prefix+strings.ToUpper(strings.ReplaceAll(block, "-", "_"))+"_"+name)
}

func (d *document) renderCertificate(into *hclwrite.Body, b certBlock) {
	comment(into, "From "+b.From+".")
	body := into.AppendNewBlock("certificate", []string{b.name}).Body()
	domains := make([]cty.Value, 0, len(b.Names()))
	for _, name := range b.Names() {
		domains = append(domains, cty.StringVal(name))
	}
	body.SetAttributeValue("domains", cty.TupleVal(domains))
	body.SetAttributeTraversal("issuer", refTo("issuer", b.issuer))
	if len(b.dns) == 1 {
		body.SetAttributeTraversal("dns", refTo("dns", b.dns[0]))
	} else {
		var list []hclwrite.Tokens
		for _, name := range b.dns {
			list = append(list, hclwrite.TokensForTraversal(refTo("dns", name)))
		}
		body.SetAttributeRaw("dns", hclwrite.TokensForTuple(list))
	}
	renderKey(body, b.Found)
	renderRenewal(body, b.Found, d.o.Tool)
	d.renderVault(body, b.Found)
}

func renderKey(body *hclwrite.Body, f *Found) {
	k, _ := keyBlock(f.Shape())
	key := body.AppendNewBlock("key", nil).Body()
	text(key, "algorithm", string(k.Algorithm))
	if k.Curve != "" {
		text(key, "curve", k.Curve)
	} else {
		key.SetAttributeValue("size", cty.NumberIntVal(int64(k.Size)))
	}
	if f.KeepsKey {
		text(key, "rotation", string(spec.RotateNever))
	}
}

// keyBlock converts a shape to the spec's key; ok is false if the spec has no such key.
func keyBlock(shape string) (k spec.Key, ok bool) {
	algorithm, param, _ := strings.Cut(shape, "-")
	switch algorithm {
	case "ecdsa":
		return spec.Key{Algorithm: spec.ECDSA, Curve: param}, slices.Contains([]string{"P-256", "P-384", "P-521"}, param)
	case "rsa":
		size, err := strconv.Atoi(param)
		return spec.Key{Algorithm: spec.RSA, Size: size}, err == nil && slices.Contains([]int{2048, 3072, 4096}, size)
	}
	return k, false
}

func renderRenewal(body *hclwrite.Body, f *Found, tool string) {
	if f.ThresholdDays == 0 && !f.Paused {
		return
	}
	renewal := body.AppendNewBlock("renewal", nil).Body()
	if f.Paused {
		renewal.SetAttributeValue("auto", cty.False)
		text(renewal, "reason", tool+" did not renew it either")
	}
	if f.ThresholdDays > 0 {
		renewal.SetAttributeValue("threshold_days", cty.NumberIntVal(int64(f.ThresholdDays)))
	}
}

func (d *document) renderVault(body *hclwrite.Body, f *Found) {
	target := body.AppendNewBlock("vault", nil).Body()
	if f.At.Mount != d.o.Mount {
		text(target, "mount", f.At.Mount)
	}
	text(target, "path", f.At.Path)
	switch {
	case f.Fields.Exprs != nil:
		var items []hclwrite.ObjectAttrTokens
		for _, name := range slices.Sorted(maps.Keys(f.Fields.Exprs)) {
			items = append(items, hclwrite.ObjectAttrTokens{Name: hclwrite.TokensForValue(cty.StringVal(name)), Value: raw(f.Fields.Exprs[name])})
		}
		target.SetAttributeRaw("fields", hclwrite.TokensForObject(items))
	case f.Fields.Preset != "" && f.Fields.Preset != "pem":
		text(target, "fields", f.Fields.Preset)
	}
}

func text(body *hclwrite.Body, name, value string) {
	body.SetAttributeValue(name, cty.StringVal(value))
}

func refTo(kind, name string) hcl.Traversal {
	return hcl.Traversal{hcl.TraverseRoot{Name: kind}, hcl.TraverseAttr{Name: name}}
}

func call(function string, args ...string) hclwrite.Tokens {
	var tokens []hclwrite.Tokens
	for _, arg := range args {
		tokens = append(tokens, hclwrite.TokensForValue(cty.StringVal(arg)))
	}
	return hclwrite.TokensForFunctionCall(function, tokens...)
}

// raw returns tokens of certroll's own expression.
func raw(expr string) hclwrite.Tokens {
	return hclwrite.Tokens{{Type: hclsyntax.TokenIdent, Bytes: []byte(expr)}}
}

// comment writes one line: text from foreign files cannot end it.
func comment(body *hclwrite.Body, line string) {
	body.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte("# " + visible.Line(line) + "\n")}})
}
