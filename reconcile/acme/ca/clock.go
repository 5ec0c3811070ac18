package ca

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"certroll/spec"
)

// Date is the time by the clock of an issuer's CA, to the second, as the answer for
// its directory says; zero where it does not say.
func (c *Set) Date(ctx context.Context, issuer *spec.Issuer) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	way, open, err := newTransport(issuer, c.opts.Wrap)
	if err != nil {
		return time.Time{}, err
	}
	defer open.close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer.Directory, nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking issuer.%s for the time: %w", issuer.Name, err)
	}
	req.Header.Set("User-Agent", c.opts.UserAgent)
	resp, err := way.RoundTrip(req)
	if err != nil {
		return time.Time{}, fmt.Errorf("asking issuer.%s for the time: %w", issuer.Name, err)
	}
	defer func() { _ = resp.Body.Close() }() // what it says is not read
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil
	}
	return date, nil
}
