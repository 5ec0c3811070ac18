package reconcile

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"sort"
	"strings"
	"time"

	"certroll/reconcile/keypair"
)

// pair is a certificate with its chain and its private key, both parsed.
type pair struct {
	chain []*x509.Certificate // leaf first
	key   crypto.Signer
}

func (p pair) leaf() *x509.Certificate { return p.chain[0] }

// ends is when the pair as it is served ends, its chain included.
func (p pair) ends() time.Time { return keypair.Ends(p.chain) }

// parseChain reads PEM certificates, leaf first.
func parseChain(text []byte) ([]*x509.Certificate, error) {
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

// maxSkew is how far a CA's clock may be ahead of ours.
const maxSkew = time.Hour

// check tells what is wrong with a pair that shall be live for these names.
// Nothing goes to Vault that did not pass it.
func (p pair) check(names []string, now time.Time) error {
	leaf := p.leaf()
	if pub, ok := p.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(leaf.PublicKey) {
		return errors.New("the certificate is not for this private key")
	}
	if got := NamesOf(leaf); namesDigest(got) != namesDigest(names) {
		return fmt.Errorf("the certificate is for %s, asked for was %s", strings.Join(got, " "), strings.Join(names, " "))
	}
	switch {
	case !leaf.NotAfter.After(leaf.NotBefore):
		return fmt.Errorf("its dates are reversed: %s to %s", leaf.NotBefore, leaf.NotAfter)
	case !leaf.NotAfter.After(now):
		return fmt.Errorf("it expired %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case leaf.NotBefore.After(now.Add(maxSkew)):
		return notYet{fmt.Errorf("it is not valid before %s; compare this machine's clock", leaf.NotBefore.UTC().Format(time.RFC3339)), leaf.NotBefore}
	}
	// The root stays with whoever trusts it: the chain is checked as far as
	// the issuer sent it.
	for i := 1; i < len(p.chain); i++ {
		if err := p.chain[i-1].CheckSignatureFrom(p.chain[i]); err != nil {
			return fmt.Errorf("certificate %d of the chain was not signed by the next one: %w", i, err)
		}
	}
	return nil
}

// NamesOf are the identifiers a certificate is for, as the spec writes them.
func NamesOf(cert *x509.Certificate) []string {
	names := make([]string, 0, len(cert.DNSNames)+len(cert.IPAddresses))
	for _, n := range cert.DNSNames {
		names = append(names, strings.ToLower(n))
	}
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			names = append(names, addr.Unmap().String())
		}
	}
	sort.Strings(names)
	return names
}

// serialOf renders a serial number in lower-case hex.
func serialOf(cert *x509.Certificate) string { return hex.EncodeToString(cert.SerialNumber.Bytes()) }

// keysIn are the private keys among the PEM blocks of a text, which may hold
// certificates as well, as HAProxy has it.
func keysIn(text []byte) []crypto.Signer {
	var keys []crypto.Signer
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return keys
		}
		if key, err := decodeKey(string(pem.EncodeToMemory(block))); err == nil {
			keys = append(keys, key)
		}
	}
}

// findIn looks for a pair among the fields of a secret, whatever they are
// called. Keystores are not looked into.
func findIn(data map[string]string) (pair, error) {
	fields := make([]string, 0, len(data))
	for name := range data {
		fields = append(fields, name)
	}
	sort.Strings(fields)
	var keys []crypto.Signer
	var best []*x509.Certificate
	for _, name := range fields {
		text := []byte(data[name])
		keys = append(keys, keysIn(text)...)
		// The leaf with the longest chain below it is the whole story.
		if chain, err := parseChain(text); err == nil && !chain[0].IsCA && len(chain) > len(best) {
			best = chain
		}
	}
	if len(best) == 0 {
		return pair{}, errors.New("there is no PEM certificate in its fields")
	}
	for _, key := range keys {
		if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(best[0].PublicKey) {
			return pair{chain: best, key: key}, nil
		}
	}
	return pair{}, errors.New("there is no PEM private key for its certificate in its fields")
}
