package keypair

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"
)

// NamesDigest identifies a set of names, independent of their order.
func NamesDigest(names []string) string {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	// A name never contains a newline, so that the joined text is unambiguous.
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(sorted), "\n")))
	return hex.EncodeToString(sum[:])
}

// NotYet is the error about a certificate whose notBefore is more than MaxSkew in the
// future.
type NotYet struct {
	error
	From time.Time
}

// Pair is a parsed certificate with its chain and its private key.
type Pair struct {
	Chain []*x509.Certificate // leaf first
	Key   crypto.Signer
}

// Leaf returns the leaf certificate.
func (p Pair) Leaf() *x509.Certificate { return p.Chain[0] }

// Ends returns the end of the pair as served, including its chain.
func (p Pair) Ends() time.Time { return Ends(p.Chain) }

// ParseChain parses PEM certificates, leaf first. It skips other PEM blocks.
func ParseChain(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain does not parse: %w", len(chain)+1, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("there is no certificate in it")
	}
	return chain, nil
}

// MaxSkew is how far another clock may be ahead of certroll's.
const MaxSkew = time.Hour

// Check returns the first defect of a pair that is to become live for these names. certroll
// writes no pair to Vault without this check.
func (p Pair) Check(names []string, now time.Time) error {
	leaf := p.Leaf()
	if pub, ok := p.Key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(leaf.PublicKey) {
		return errors.New("the certificate is not for this private key")
	}
	if got := NamesOf(leaf); NamesDigest(got) != NamesDigest(names) {
		return fmt.Errorf("the certificate is for %s, asked for was %s", strings.Join(got, " "), strings.Join(names, " "))
	}
	// A leaf from the future is no defect of the pair: it becomes valid by waiting, hence
	// an error of its own type.
	switch {
	case !leaf.NotAfter.After(leaf.NotBefore):
		return fmt.Errorf("its dates are reversed: %s to %s", leaf.NotBefore, leaf.NotAfter)
	case !leaf.NotAfter.After(now):
		return fmt.Errorf("it expired %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case leaf.NotBefore.After(now.Add(MaxSkew)):
		return NotYet{fmt.Errorf("it is not valid before %s; compare this machine's clock", leaf.NotBefore.UTC().Format(time.RFC3339)), leaf.NotBefore}
	}
	// A CA does not send its root, so the last certificate has no issuer to check against.
	for i := 1; i < len(p.Chain); i++ {
		if err := p.Chain[i-1].CheckSignatureFrom(p.Chain[i]); err != nil {
			return fmt.Errorf("certificate %d of the chain was not signed by the next one: %w", i, err)
		}
	}
	return nil
}

// NamesOf returns the names of a certificate in the form of the spec, sorted.
func NamesOf(cert *x509.Certificate) []string {
	names := make([]string, 0, len(cert.DNSNames)+len(cert.IPAddresses))
	for _, n := range cert.DNSNames {
		names = append(names, strings.ToLower(n))
	}
	for _, ip := range cert.IPAddresses {
		// Unmap: the spec writes an IPv4 address in its short form.
		if addr, ok := netip.AddrFromSlice(ip); ok {
			names = append(names, addr.Unmap().String())
		}
	}
	sort.Strings(names)
	return names
}

// SerialOf returns the serial number in lower-case hex.
func SerialOf(cert *x509.Certificate) string { return hex.EncodeToString(cert.SerialNumber.Bytes()) }

// KeysIn returns the private keys among the PEM blocks of a text, which may also contain
// certificates, as in a file for HAProxy.
func KeysIn(text []byte) []crypto.Signer {
	var keys []crypto.Signer
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return keys
		}
		if key, err := DecodeKey(string(pem.EncodeToMemory(block))); err == nil {
			keys = append(keys, key)
		}
	}
}

// FindIn returns the pair among the fields of a secret, whatever their names. It does not
// open keystores.
func FindIn(data map[string]string) (Pair, error) {
	fields := make([]string, 0, len(data))
	for name := range data {
		fields = append(fields, name)
	}
	// Sorted, so that the result does not depend on the order of a map.
	sort.Strings(fields)
	var keys []crypto.Signer
	var best []*x509.Certificate
	for _, name := range fields {
		text := []byte(data[name])
		keys = append(keys, KeysIn(text)...)
		// A secret may have the leaf alone in another field; the longest chain is the full
		// one.
		if chain, err := ParseChain(text); err == nil && !chain[0].IsCA && len(chain) > len(best) {
			best = chain
		}
	}
	if len(best) == 0 {
		return Pair{}, errors.New("there is no PEM certificate in its fields")
	}
	for _, key := range keys {
		if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(best[0].PublicKey) {
			return Pair{Chain: best, Key: key}, nil
		}
	}
	return Pair{}, errors.New("there is no PEM private key for its certificate in its fields")
}
