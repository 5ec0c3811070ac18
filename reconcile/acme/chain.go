package acme

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
)

// download fetches the chain of a valid order (RFC 8555 section 7.4.2). It prefers the
// chain whose topmost issuer is preferred_chain, else the CA's default. An unexpired
// chain always beats an expired one, even the preferred one. If the default chain
// expires before the certificate, a longer-lived alternate replaces it.
func (f *finish) download(ctx context.Context, order acme.ExtendedOrder) ([]byte, error) {
	f.report("download", "downloading the certificate")
	chain, err := f.chain(ctx, order.Certificate)
	if err != nil {
		return nil, err
	}
	if _, err := parseChain(chain); err != nil {
		return nil, &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: f.doing, Said: "the certificate at " + order.Certificate + " cannot be read: " + err.Error(), Cause: err}
	}
	return chain, nil
}

// chain chooses among the CA's chains. It fetches the alternate ones only if
// preferred_chain is set or the default one expires early: most orders need one request.
func (f *finish) chain(ctx context.Context, url string) ([]byte, error) {
	if f.issuer.PreferredChain == "" {
		chain, err := f.defaultChain(ctx, url)
		if err != nil || f.outlivesLeaf(chain) {
			return chain, err
		}
		return f.lasting(ctx, url, chain)
	}
	chains, err := f.allChains(ctx, url)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		// A missing alternate chain must not fail an issued certificate.
		f.report("chain", "the CA's alternate chains cannot be had, taking its default chain: "+err.Error())
		return f.defaultChain(ctx, url)
	}
	chain := f.preferred(url, chains)
	if path, err := f.path(chain); err == nil && !keypair.Ends(path).After(f.client.now()) {
		return f.longest(url, chain, chains), nil
	}
	return chain, nil
}

// lasting returns the longest-lived chain. chain is the CA's default, which expires
// before the certificate; it is returned if no alternate lasts longer.
func (f *finish) lasting(ctx context.Context, url string, chain []byte) ([]byte, error) {
	chains, err := f.allChains(ctx, url)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		f.report("chain", "the CA's chain ends before the certificate, and its alternate chains cannot be had: "+err.Error())
		return chain, nil
	}
	return f.longest(url, chain, chains), nil
}

// path returns a chain in the order in which a server presents it, without stray and
// expired members.
func (f *finish) path(chain []byte) ([]*x509.Certificate, error) {
	certs, err := parseChain(chain)
	if err != nil {
		return nil, err
	}
	request, err := x509.ParseCertificateRequest(f.csr)
	if err != nil {
		return nil, err
	}
	return keypair.Tidy(certs, request.PublicKey, f.client.now())
}

// outlivesLeaf reports whether the leaf is the first certificate of a chain to expire.
// It reports true for a chain that path cannot put in order: the later verification
// rejects it.
func (f *finish) outlivesLeaf(chain []byte) bool {
	path, err := f.path(chain)
	return err != nil || keypair.EndsFirst(path) == path[0]
}

// longest returns the chain that expires last. On a tie it returns chain.
func (f *finish) longest(url string, chain []byte, chains map[string]*acme.RawCertificate) []byte {
	best, end := chain, time.Time{}
	if path, err := f.path(chain); err == nil {
		end = keypair.Ends(path)
	}
	was := end
	var top string
	for _, u := range defaultFirst(url, chains) {
		path, err := f.path(chains[u].Cert)
		if err != nil || !keypair.Ends(path).After(end) {
			continue
		}
		best, end, top = chains[u].Cert, keypair.Ends(path), signerOfTop(path)
	}
	if end.After(was) {
		f.report("chain", fmt.Sprintf("the chain ends %s, before the certificate; taking the chain up to %q, which lasts until %s",
			was.Format(time.RFC3339), top, end.Format(time.RFC3339)))
	}
	return best
}

// defaultChain fetches the chain at the order's certificate URL.
func (f *finish) defaultChain(ctx context.Context, url string) (chain []byte, err error) {
	_, err = f.session.Call(ctx, f.doing, func(core *api.Core) error {
		var err error
		chain, _, err = core.Certificates.Get(url, true)
		return err
	})
	return chain, err
}

// allChains fetches the default chain and all alternates (Link relation "alternate", RFC
// 8555 section 7.4.2), by URL.
func (f *finish) allChains(ctx context.Context, url string) (chains map[string]*acme.RawCertificate, err error) {
	_, err = f.session.Call(ctx, f.doing, func(core *api.Core) error {
		var err error
		chains, err = core.Certificates.GetAll(url, true)
		return err
	})
	return chains, err
}

// signerOfTop returns the issuer name of the last certificate of a path.
func signerOfTop(path []*x509.Certificate) string { return path[len(path)-1].Issuer.CommonName }

// preferred returns the chain up to preferred_chain, the default one first if several
// fit. If none fits, it reports the chains on offer and returns the default one: a
// certificate with another chain is better than none.
func (f *finish) preferred(url string, chains map[string]*acme.RawCertificate) []byte {
	wanted := strings.TrimSpace(f.issuer.PreferredChain)
	var tops []string
	for _, u := range defaultFirst(url, chains) {
		path, err := f.path(chains[u].Cert)
		if err != nil {
			continue
		}
		if strings.EqualFold(signerOfTop(path), wanted) {
			return chains[u].Cert
		}
		tops = append(tops, strconv.Quote(signerOfTop(path)))
	}
	f.report("chain", "the CA offers no chain up to "+strconv.Quote(f.issuer.PreferredChain)+
		", taking its default chain; it offers "+strings.Join(tops, ", "))
	return chains[url].Cert
}

// defaultFirst returns the chains' URLs: first, then the others sorted, so that the
// choice does not depend on the map's order.
func defaultFirst(first string, chains map[string]*acme.RawCertificate) []string {
	urls := []string{first}
	for u := range chains {
		if u != first {
			urls = append(urls, u)
		}
	}
	// lego returns a map, whose order would change the choice between equal chains.
	slices.Sort(urls[1:])
	return urls
}

// parseChain decodes a PEM chain. Any block other than CERTIFICATE is an error.
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
