package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"certroll/reconcile/reach"
)

const (
	// maxCRL is the size limit of a revocation list, in bytes. Public CAs split their
	// lists into parts of well under a megabyte; ten megabytes are about 200,000 entries.
	maxCRL = 10 << 20
	// crlTimeout covers connecting, the request and reading the list.
	crlTimeout   = 15 * time.Second
	maxRedirects = 3
)

// CRL fetches a certificate revocation list (RFC 5280 section 4.2.1.13) over HTTP or
// HTTPS and returns it unverified: the caller must verify its signature. It connects only
// to addresses allowed for probes, also after a redirect, and uses no proxy.
func (p *Prober) CRL(ctx context.Context, at string) ([]byte, error) {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("fetching the CRL %s: it is no http or https URL", at)
	}
	select {
	case p.room <- struct{}{}:
		defer func() { <-p.room }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, crlTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("fetching the CRL %s: %w", at, err)
	}
	dialer := &reach.Dialer{Dials: p.o.Rules.Dials, Allow: allow, Timeout: p.o.Timeout}
	client := &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return errors.New("it is redirected too often")
			}
			return nil
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		var denied *reach.DeniedError
		if errors.As(err, &denied) {
			return nil, fmt.Errorf("fetching the CRL %s: %w", at, denied)
		}
		return nil, fmt.Errorf("fetching a CRL: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetching the CRL %s: the server answers %s", at, resp.Status)
	}
	der, err := io.ReadAll(io.LimitReader(resp.Body, maxCRL+1))
	if err != nil {
		return nil, fmt.Errorf("reading the CRL %s: %w", at, err)
	}
	if len(der) > maxCRL {
		return nil, fmt.Errorf("the CRL %s is larger than %d MiB, which certroll does not read", at, maxCRL>>20)
	}
	return der, nil
}
