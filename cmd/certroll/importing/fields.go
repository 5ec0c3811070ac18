package importing

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/keypair"
	"certroll/spec"
)

// Fields is a vault.fields setting: a preset, or expressions by field. The zero value is
// the preset "pem".
type Fields struct {
	Preset string
	Exprs  map[string]string
}

// isOf reports whether data has the required fields of a preset, and no field that the
// preset does not write.
func isOf(p spec.Preset, data map[string]string) bool {
	for _, name := range p.Required {
		if _, ok := data[name]; !ok {
			return false
		}
	}
	for name := range data {
		if !slices.Contains(p.Required, name) && !slices.Contains(p.Optional, name) {
			return false
		}
	}
	return true
}

// matchFields finds the vault.fields that reproduce a secret's present contents, so that
// its readers find the same fields after a renewal.
func (f *Found) matchFields(data map[string]string) {
	m, err := keypair.MaterialOf(f.Chain, f.Key.Signer)
	if err != nil {
		f.refuse("%v", err)
		return
	}
	forms := f.forms(m)
	exprs := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if expr, ok := matchOne(name, data[name], forms); ok {
			exprs[name] = expr
		}
	}
	f.notePKCS8(data)
	for _, p := range spec.Presets {
		if isOf(p, data) && f.fits(p, exprs) {
			f.Fields = Fields{Preset: p.Name}
			for _, name := range slices.Sorted(maps.Keys(data)) {
				if _, ok := exprs[name]; !ok && name != "expiration" && name != "private_key_type" {
					f.note("the field %s differs from the preset %q: renewals write the last certificate that the CA sends", name, p.Name)
				}
			}
			return
		}
	}
	f.Fields = Fields{Exprs: exprs}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if _, ok := exprs[name]; !ok {
			f.note("the field %s does not come from the key or the certificate%s: renewals leave it out, and only earlier versions of the secret keep it", name, storeHint(data[name]))
		}
	}
}

// fits reports whether the fields contain what the preset writes. A field with an
// additional CA certificate, such as a root, also fits.
func (f *Found) fits(p spec.Preset, exprs map[string]string) bool {
	for _, name := range p.Required {
		switch expr := exprs[name]; name {
		case "certificate":
			if expr != "cert.certificate" && (len(f.Chain) > 1 || expr != "cert.fullchain") {
				return false
			}
		case "chain":
			if expr != "cert.chain" {
				return false
			}
		case "tls.crt", "fullchain":
			if expr != "cert.fullchain" && expr != "cert.certificate" {
				return false
			}
		case "private_key", "tls.key":
			if expr != "cert.private_key" {
				return false
			}
		case "serial_number":
			if expr != "cert.serial" {
				return false
			}
		}
	}
	return true
}

// form is an expression with its result for the present pair.
type form struct{ expr, text string }

// forms returns the expressions to try on each field.
func (f *Found) forms(m spec.Material) []form {
	leaf := f.leaf()
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	ca := ""
	if n := len(f.Chain); n > 1 {
		ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Chain[n-1].Raw}))
	}
	var serial []string
	for _, b := range leaf.SerialNumber.Bytes() {
		serial = append(serial, fmt.Sprintf("%02x", b))
	}
	all := []form{
		{"cert.certificate", m.Certificate}, {"cert.fullchain", m.FullChain}, {"cert.chain", m.Chain}, {"cert.ca", ca}, {"cert.private_key", m.PrivateKey},
		{`"${cert.private_key}${cert.fullchain}"`, m.PrivateKey + m.FullChain}, {`"${cert.fullchain}${cert.private_key}"`, m.FullChain + m.PrivateKey},
		{`"${cert.private_key}${cert.certificate}"`, m.PrivateKey + m.Certificate}, {`"${cert.certificate}${cert.private_key}"`, m.Certificate + m.PrivateKey},
		{`"${cert.certificate}${cert.private_key}${cert.chain}"`, m.Certificate + m.PrivateKey + m.Chain},
		{"cert.serial", strings.Join(serial, ":")},
		{"cert.not_before", leaf.NotBefore.UTC().Format(time.RFC3339)}, {"cert.not_after", leaf.NotAfter.UTC().Format(time.RFC3339)},
	}
	if len(names) > 0 {
		all = append(all, form{"cert.names[0]", names[0]}, form{`join(",", cert.names)`, strings.Join(names, ",")}, form{`join(" ", cert.names)`, strings.Join(names, " ")})
	}
	return all
}

// matchOne finds the expression for a field. If several give the same result, the
// field's name decides.
func matchOne(name, value string, forms []form) (string, bool) {
	lower := strings.ToLower(name)
	first := ""
	switch {
	case strings.Contains(lower, "full"), lower == "tls.crt", strings.Contains(lower, "bundle"):
		first = "cert.fullchain"
	case strings.Contains(lower, "chain"):
		first = "cert.chain"
	case strings.Contains(lower, "ca"):
		first = "cert.ca"
	}
	expr, found := "", false
	for _, form := range forms {
		if !same(form.text, value) || strings.TrimSpace(value) == "" && form.expr != first {
			continue
		}
		if form.expr == first {
			return first, true
		}
		if !found {
			expr, found = form.expr, true
		}
	}
	return expr, found
}

// same compares texts, and PEM by its contents: keys may have different encodings, and
// blank lines do not matter.
func same(a, b string) bool { return slices.EqualFunc(parts(a), parts(b), bytes.Equal) }

// parts returns the blocks of a PEM text, or the text itself if it has none.
func parts(text string) [][]byte {
	var out [][]byte
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "EC PARAMETERS" {
			out = append(out, part(block))
		}
	}
	if out == nil {
		return [][]byte{bytes.TrimSpace([]byte(text))}
	}
	return out
}

func part(block *pem.Block) []byte {
	if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return append([]byte(block.Type+"\x00"), block.Bytes...)
	}
	public, err := keypair.PublicOf(string(pem.EncodeToMemory(block)))
	if err != nil {
		return append([]byte(block.Type+"\x00"), block.Bytes...)
	}
	return append([]byte("PRIVATE KEY\x00"), public...)
}

// notePKCS8 notes that a key is in an older encoding.
func (f *Found) notePKCS8(data map[string]string) {
	for _, field := range slices.Sorted(maps.Keys(data)) {
		text := data[field]
		for _, old := range []string{"RSA PRIVATE KEY", "EC PRIVATE KEY"} {
			if strings.Contains(text, "-----BEGIN "+old+"-----") {
				f.note("the key is stored as %q; renewals write it as \"PRIVATE KEY\" (PKCS #8), which all but very old programs can read", old)
			}
		}
	}
}

// storeHint guesses from the first bytes whether a field is a keystore.
func storeHint(value string) string {
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), ""))
	switch {
	case err != nil || len(raw) < 64:
		return ""
	case bytes.HasPrefix(raw, []byte{0xfe, 0xed, 0xfe, 0xed}):
		return " in the open (a Java keystore? write jks(vault(\"mount/path\", \"password\")) for it)"
	case raw[0] == 0x30 && raw[1] == 0x82:
		return " in the open (a PKCS #12 keystore? write pkcs12(vault(\"mount/path\", \"password\")) for it)"
	}
	return ""
}
