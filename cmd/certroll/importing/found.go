package importing

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
	"certroll/spec"
)

// Found is one certificate in a tool's directory or in Vault.
type Found struct {
	Name string // the tool's name, later the block's
	From string // its place, for people

	Chain []*x509.Certificate // leaf first; empty if unreadable
	Key   secretKey
	sent  []*x509.Certificate // the certificates that adoption checks, if they differ from Chain

	Issuer   Issuer
	Accounts []Account // the validation methods
	At       ledger.Location
	Fields   Fields // the secret's contents; the zero value is "pem"
	There    bool   // the pair is already in Vault
	unread   bool   // reading failed

	ThresholdDays int  // 0: the tool's default
	KeepsKey      bool // renewals kept the private key
	Paused        bool // renewal was off

	Notes   []string // changed or lost settings
	Problem string   // why it cannot be imported; "" if it can
}

// Issuer is a CA account as far as the files describe it.
type Issuer struct {
	Directory      string // URL; "" if unknown
	Email          string
	Profile        string
	PreferredChain string
}

// Account is a validation method.
type Account struct {
	Challenge spec.Challenge
	Provider  string // lego's code; "" if unknown, or for another challenge
	Tool      string // the tool's name for it, for people
	Login     string // distinguishes accounts of one provider; a name or a file, never a secret
	Webroot   string
}

// Findings are all certificates of one source, with notes about all of them.
type Findings struct {
	Certificates []*Found
	Notes        []string
}

func (f *Found) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(f.Notes, n) {
		f.Notes = append(f.Notes, n)
	}
}

// refuse records the first problem, since later ones are usually its consequences.
func (f *Found) refuse(format string, args ...any) {
	if f.Problem == "" {
		f.Problem = fmt.Sprintf(format, args...)
	}
}

func (f *Found) leaf() *x509.Certificate {
	if len(f.Chain) == 0 {
		return nil
	}
	return f.Chain[0]
}

// Names returns the certificate's names in its own order, but the common name first: the
// tool treated it as the primary one.
func (f *Found) Names() []string {
	leaf := f.leaf()
	if leaf == nil {
		return nil
	}
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	all := keypair.NamesOf(leaf)
	for _, typed := range append([]string{leaf.Subject.CommonName}, leaf.DNSNames...) {
		if name := strings.ToLower(typed); slices.Contains(all, name) {
			add(name)
		}
	}
	for _, name := range all { // the IP addresses
		add(name)
	}
	return names
}

// Shape returns the shape of the key, such as "ecdsa-P-256".
func (f *Found) Shape() string {
	if leaf := f.leaf(); leaf != nil {
		return keypair.KeyShape(leaf.PublicKey)
	}
	return ""
}

// check checks whether the next apply will adopt the pair.
func (f *Found) check(now time.Time) {
	leaf := f.leaf()
	if leaf == nil || f.Key.Signer == nil || f.Problem != "" {
		f.refuse("there is no certificate with its private key")
		return
	}
	if len(f.Names()) == 0 {
		f.refuse("the certificate has no DNS name and no address among its alternative names")
	}
	if _, ok := keyBlock(f.Shape()); !ok {
		f.refuse("its key, %s, is of a kind that certroll does not make (RSA of 2048, 3072 or 4096 bits, ECDSA on P-256, P-384 or P-521)", describeKey(leaf, f.Shape()))
	}
	chain := f.Chain
	if f.sent != nil {
		chain = f.sent
	}
	if err := keypair.CheckPair(chain, f.Key.Signer, f.Names(), now); err != nil {
		f.refuse("%v", err)
	}
	if f.due(now) {
		f.note("it is already due: one apply adopts it, and the next apply renews it")
	}
	for _, ext := range leaf.Extensions {
		if ext.Id.Equal(mustStaple) {
			f.note("it has the must-staple extension (RFC 7633), which renewals will not have: CAs no longer serve OCSP")
		}
	}
	if n := len(leaf.EmailAddresses) + len(leaf.URIs); n > 0 {
		f.note("the certificate has e-mail addresses or URIs among its names, and renewals leave these out")
	}
}

// due reports whether the certificate is close to expiry, by the threshold that applies
// without the CA's renewal information.
func (f *Found) due(now time.Time) bool {
	life, threshold := f.leaf().NotAfter.Sub(f.leaf().NotBefore), time.Duration(cmp.Or(f.ThresholdDays, 30))*day
	return !f.Paused && f.leaf().NotAfter.Sub(now) <= min(threshold, life/3)
}

// mustStaple is id-pe-tlsfeature (RFC 7633 section 6).
var mustStaple = []int{1, 3, 6, 1, 5, 5, 7, 1, 24}

func describeKey(leaf *x509.Certificate, shape string) string {
	if shape == "" {
		return leaf.PublicKeyAlgorithm.String()
	}
	return shape
}

// secretKey is a private key that no formatter prints.
type secretKey struct{ crypto.Signer }

const hidden = "[private key]"

// Format keeps the key out of formatted output.
func (secretKey) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(hidden)) }

// LogValue keeps the key out of logs.
func (secretKey) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalJSON keeps the key out of JSON.
func (secretKey) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
