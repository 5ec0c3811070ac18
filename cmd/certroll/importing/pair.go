package importing

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"certroll/reconcile/keypair"
)

// pair reads certificates and the private key from files. It sorts the chain: a server
// sent it as stored, but certroll's check needs it in order.
func (f *Found) pair(dir fs.FS, keyFile string, certFiles ...string) {
	var text bytes.Buffer
	for _, name := range certFiles {
		content, err := readIfThere(dir, name)
		if err != nil {
			f.refuse("reading %s: %s", name, plain(err))
			return
		}
		text.Write(content)
		text.WriteByte('\n')
	}
	certs, err := certificates(text.Bytes())
	switch {
	case err != nil:
		f.refuse("a certificate in %s does not parse: %v", strings.Join(certFiles, ", "), err)
		return
	case len(certs) == 0:
		f.refuse("there is no certificate in %s", strings.Join(certFiles, ", "))
		return
	}
	f.Chain = inOrder(certs)
	if f.leaf().IsCA {
		f.refuse("%s is the certificate of a CA", certFiles[0])
		return
	}
	f.key(dir, keyFile)
}

func (f *Found) key(dir fs.FS, keyFile string) {
	content, err := read(dir, keyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.refuse("its private key, %s, is missing (was it made from a CSR?)", keyFile)
		return
	case err != nil:
		f.refuse("reading the private key: %s", plain(err))
		return
	}
	if what := unusableKey(content); what != "" {
		f.refuse("its private key, %s, %s", keyFile, what)
		return
	}
	leaf := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.leaf().Raw}))
	_, key, err := keypair.FindPair(map[string]string{"certificate": leaf, "key": string(content)})
	if err != nil {
		f.refuse("the private key in %s is not the certificate's, or is of a kind that certroll does not know", keyFile)
		return
	}
	f.Key = secretKey{key}
}

// unusableKey returns why the text of a key cannot be parsed.
func unusableKey(content []byte) string {
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return "is not PEM"
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return "is encrypted; decrypt it first"
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return ""
		}
	}
}

// plain formats an error without the path that fs would repeat.
func plain(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Path + ": " + p.Err.Error()
	}
	return err.Error()
}

// certificates parses all certificates of a PEM text.
func certificates(text []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return list, nil
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list = append(list, cert)
	}
}

// inOrder makes a chain: the first certificate that is no CA, then each one's signer if
// present. It drops other certificates, and the root, which relying parties already
// have.
func inOrder(certs []*x509.Certificate) []*x509.Certificate {
	leaf := certs[0]
	for _, c := range certs {
		if !c.IsCA {
			leaf = c
			break
		}
	}
	chain, last := []*x509.Certificate{leaf}, leaf
	for {
		next := signer(last, certs)
		if next == nil || bytes.Equal(next.RawSubject, next.RawIssuer) || slices.Contains(chain, next) {
			return chain
		}
		chain, last = append(chain, next), next
	}
}

func signer(of *x509.Certificate, among []*x509.Certificate) *x509.Certificate {
	for _, c := range among {
		if c != of && bytes.Equal(c.RawSubject, of.RawIssuer) && of.CheckSignatureFrom(c) == nil {
			return c
		}
	}
	return nil
}
