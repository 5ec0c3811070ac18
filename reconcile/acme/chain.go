package acme

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

// download gets the chain of a valid order: the CA's default, or the one whose
// topmost issuer is the preferred one (RFC 8555 section 7.4.2).
func (f *finish) download(ctx context.Context, order acme.ExtendedOrder) ([]byte, error) {
	f.report("download", "downloading the certificate")
	chain, err := f.chain(ctx, order.Certificate)
	if err != nil {
		return nil, err
	}
	if _, err := parseChain(chain); err != nil {
		return nil, &Error{class: ClassCAUnavailable, doing: f.doing, said: "the certificate at " + order.Certificate + " cannot be read: " + err.Error(), cause: err}
	}
	return chain, nil
}

func (f *finish) chain(ctx context.Context, url string) ([]byte, error) {
	if f.issuer.PreferredChain == "" {
		return f.defaultChain(ctx, url)
	}
	chains, err := f.allChains(ctx, url)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		f.report("chain", "the CA's alternate chains cannot be had, taking its default chain: "+err.Error())
		return f.defaultChain(ctx, url)
	}
	return f.preferred(url, chains), nil
}

func (f *finish) defaultChain(ctx context.Context, url string) (chain []byte, err error) {
	_, err = f.session.call(ctx, f.doing, func(core *api.Core) error {
		var err error
		chain, _, err = core.Certificates.Get(url, true)
		return err
	})
	return chain, err
}

func (f *finish) allChains(ctx context.Context, url string) (chains map[string]*acme.RawCertificate, err error) {
	_, err = f.session.call(ctx, f.doing, func(core *api.Core) error {
		var err error
		chains, err = core.Certificates.GetAll(url, true)
		return err
	})
	return chains, err
}

// preferred picks the chain, the default one first where several fit. None
// fitting is told and is no failure: a certificate with another chain beats
// no certificate.
func (f *finish) preferred(url string, chains map[string]*acme.RawCertificate) []byte {
	var tops []string
	for _, u := range defaultFirst(url, chains) {
		certs, err := parseChain(chains[u].Cert)
		if err != nil {
			continue
		}
		top := certs[len(certs)-1].Issuer.CommonName
		if top == f.issuer.PreferredChain {
			return chains[u].Cert
		}
		tops = append(tops, strconv.Quote(top))
	}
	f.report("chain", "the CA offers no chain up to "+strconv.Quote(f.issuer.PreferredChain)+
		", taking its default chain; it offers "+strings.Join(tops, ", "))
	return chains[url].Cert
}

// defaultFirst lists the chains' URLs, the default one first.
func defaultFirst(first string, chains map[string]*acme.RawCertificate) []string {
	urls := []string{first}
	for u := range chains {
		if u != first {
			urls = append(urls, u)
		}
	}
	slices.Sort(urls[1:])
	return urls
}

// parseChain reads a chain that holds certificates and nothing else.
func parseChain(chain []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("it holds a PEM block of type " + strconv.Quote(block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("it holds no PEM certificate")
	}
	return certs, nil
}
