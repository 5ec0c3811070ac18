package ca

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"certroll/reconcile/acme/problem"
	"certroll/reconcile/ledger"
	"certroll/spec"
	"certroll/spec/redact"
)

// Bounds of the interval between queries for renewal information. RFC 9773 section 4.3
// leaves them to the client and calls "under one minute" and "over one day"
// unreasonable. Section 4.3.3 has six hours for an answer without a readable
// Retry-After.
const (
	LeastAgain   = time.Minute
	MostAgain    = 24 * time.Hour
	UnknownAgain = 6 * time.Hour
)

const (
	// MaxRenewalInfo bounds an answer; a correct one has about 200 bytes.
	MaxRenewalInfo = 64 << 10
	// MaxExplanation bounds the explanation URL.
	MaxExplanation = 1 << 10
)

// RenewalInfo queries the CA for renewal information; acme.Client's RenewalInfo
// documents the results.
func (c *Set) RenewalInfo(ctx context.Context, issuer *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error) {
	doing := "asking " + issuer.Directory + " when to renew"
	if !isCertID(certID) {
		err = &problem.Error{OfClass: ledger.ClassInternal, Doing: doing, Said: strconv.Quote(problem.Clip(certID)) + " is no certificate identifier of RFC 9773 section 4.1"}
		return start, end, "", again, err
	}
	u, err := c.Of(issuer)
	if err != nil {
		return start, end, "", again, err
	}
	endpoint, err := u.renewalInfo(ctx, doing)
	if err != nil {
		return start, end, "", again, err
	}
	body, seen, err := u.get(ctx, doing, strings.TrimSuffix(endpoint, "/")+"/"+certID, MaxRenewalInfo)
	if err != nil {
		return start, end, "", again, busyIsLimit(err, seen)
	}
	info, err := parseRenewalInfo(body)
	if err != nil {
		err = &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the CA's answer cannot be followed: " + err.Error(), Cause: err,
			Retry: problem.RetryAt(seen.RetryAfter, "", c.opts.Now()), Advice: "certroll uses the last known values and retries later"}
		return start, end, "", again, err
	}
	return info.Window.Start, info.Window.End, safeLink(info.Explanation), c.opts.Now().Add(askAgain(seen.RetryAfter, c.opts.Now())), nil
}

// isCertID reports whether an id may become part of a URL.
func isCertID(id string) bool {
	key, serial, ok := strings.Cut(id, ".")
	return ok && TokenSafe(key) && TokenSafe(serial)
}

// renewalInfo returns the directory's renewalInfo URL.
func (u *CA) renewalInfo(ctx context.Context, doing string) (string, error) {
	endpoint, err := u.service(ctx, doing, "renewalInfo")
	if err != nil {
		return "", err
	}
	if endpoint == "" {
		return "", &problem.Error{OfClass: ledger.ClassCARejected, Doing: doing, Said: "the CA offers no renewal information", Cause: errors.ErrUnsupported}
	}
	if parsed, err := url.Parse(endpoint); err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.RawQuery != "" {
		return "", &problem.Error{OfClass: ledger.ClassCAUnavailable, Doing: doing, Said: "the directory's renewalInfo " + strconv.Quote(problem.Clip(endpoint)) + " is not an HTTPS URL"}
	}
	return endpoint, nil
}

// busyIsLimit turns a 503 with Retry-After into a rate limit. Let's Encrypt answers so
// above its request rate.
func busyIsLimit(err error, seen Answer) error {
	e := *problem.AsError("asking when to renew", err)
	if seen.Status == http.StatusServiceUnavailable && e.OfClass == ledger.ClassCAUnavailable && !e.Retry.IsZero() {
		e.OfClass = ledger.ClassRateLimited
	}
	return &e
}

// renewalInfo is the RenewalInfo object of RFC 9773 section 4.2.
type renewalInfo struct {
	Window struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end"`
	} `json:"suggestedWindow"`
	Explanation string `json:"explanationURL"`
}

// parseRenewalInfo decodes and checks an answer. A problem document or "{}" decodes to a
// window at the zero time, which would mean: renew now. lego's GetRenewalInfo has that
// fault, which is why certroll does not use it.
func parseRenewalInfo(body []byte) (info renewalInfo, err error) {
	if err := json.Unmarshal(body, &info); err != nil {
		return renewalInfo{}, err
	}
	w := info.Window
	switch {
	case isUnset(w.Start) || isUnset(w.End):
		return renewalInfo{}, errors.New("it has no suggestedWindow with a start and an end")
	case !w.Start.Before(w.End):
		return renewalInfo{}, errors.New("its suggestedWindow ends at " + w.End.Format(time.RFC3339) + ", not after its start at " + w.Start.Format(time.RFC3339))
	}
	return info, nil
}

// isUnset reports whether t is one of the two zero times that programs write: year 1 and
// the Unix epoch.
func isUnset(t time.Time) bool { return t.IsZero() || t.Unix() == 0 }

// safeLink returns a link that may be displayed and committed, and "" for any other.
func safeLink(link string) string {
	u, err := url.Parse(link)
	if err != nil || len(link) > MaxExplanation || u.Scheme != "https" || u.Host == "" || u.User != nil || redact.Tokens(link) != link {
		return ""
	}
	return link
}

// askAgain returns the time until the next query.
func askAgain(retryAfter string, now time.Time) time.Duration {
	wait, ok := problem.RetryAfter(retryAfter, now)
	if !ok {
		return UnknownAgain
	}
	return min(max(wait, LeastAgain), MostAgain)
}

// TokenSafe reports whether a token may be part of a file path and a URL.
func TokenSafe(token string) bool {
	return token != "" && strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == "" && len(token) <= 512
}
