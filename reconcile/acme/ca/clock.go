package ca

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"certroll/spec"
)

// Date returns the time of the CA's clock, to the second, from the Date header of the
// directory's answer; zero if the header is missing or malformed. It bypasses the cached
// directory, whose Date is old.
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
	defer func() { _ = resp.Body.Close() }() // the body is not needed
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, nil
	}
	return date, nil
}
