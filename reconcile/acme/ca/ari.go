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
	"certroll/spec"
	"certroll/spec/redact"
)

// RFC 9773 section 4.3: clients set limits of their own to the interval that
// Retry-After asks for, "under one minute" and "over one day" being what it
// calls unreasonable. Section 4.3.3 has six hours where nothing can be read.
const (
	LeastAgain   = time.Minute
	MostAgain    = 24 * time.Hour
	UnknownAgain = 6 * time.Hour
)

const (
	// MaxRenewalInfo bounds an answer: an honest one has some two hundred bytes.
	MaxRenewalInfo = 64 << 10
	// MaxExplanation bounds the link to a page for people.
	MaxExplanation = 1 << 10
)

// RenewalInfo asks the CA when a certificate should be renewed, as acme.Client says.
func (c *Set) RenewalInfo(ctx context.Context, issuer *spec.Issuer, certID string) (start, end time.Time, explanation string, again time.Time, err error) {
	doing := "asking " + issuer.Directory + " when to renew"
	if !isCertID(certID) {
		err = &problem.Error{OfClass: problem.ClassInternal, Doing: doing, Said: strconv.Quote(problem.Clip(certID)) + " is no certificate identifier of RFC 9773 section 4.1"}
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
		err = &problem.Error{OfClass: problem.ClassCAUnavailable, Doing: doing, Said: "the CA's answer cannot be followed: " + err.Error(), Cause: err,
			Retry: problem.RetryAt(seen.RetryAfter, "", c.opts.Now()), Advice: "certroll uses the last known values and retries later"}
		return start, end, "", again, err
	}
	return info.Window.Start, info.Window.End, safeLink(info.Explanation), c.opts.Now().Add(askAgain(seen.RetryAfter, c.opts.Now())), nil
}

// isCertID checks what becomes part of a URL.
func isCertID(id string) bool {
	key, serial, ok := strings.Cut(id, ".")
	return ok && TokenSafe(key) && TokenSafe(serial)
}

// renewalInfo is the directory's URL to ask below.
func (u *CA) renewalInfo(ctx context.Context, doing string) (string, error) {
	endpoint, err := u.service(ctx, doing, "renewalInfo")
	if err != nil {
		return "", err
	}
	if endpoint == "" {
		return "", &problem.Error{OfClass: problem.ClassRejected, Doing: doing, Said: "the CA offers no renewal information", Cause: errors.ErrUnsupported}
	}
	if parsed, err := url.Parse(endpoint); err != nil || parsed.Scheme != "https" || parsed.Host == "" || parsed.RawQuery != "" {
		return "", &problem.Error{OfClass: problem.ClassCAUnavailable, Doing: doing, Said: "the directory's renewalInfo " + strconv.Quote(problem.Clip(endpoint)) + " is not an HTTPS URL"}
	}
	return endpoint, nil
}

// busyIsLimit calls it a limit when a CA refuses an unauthenticated request
// for now and says for how long: that is how busy CAs shed load.
func busyIsLimit(err error, seen Answer) error {
	e := *problem.AsError("asking when to renew", err)
	if seen.Status == http.StatusServiceUnavailable && e.OfClass == problem.ClassCAUnavailable && !e.Retry.IsZero() {
		e.OfClass = problem.ClassRateLimited
	}
	return &e
}

// renewalInfo is RFC 9773 section 4.2's RenewalInfo object.
type renewalInfo struct {
	Window struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end"`
	} `json:"suggestedWindow"`
	Explanation string `json:"explanationURL"`
}

// parseRenewalInfo reads an answer of which nothing is taken on trust. What a
// careless client makes of a problem document, or of "{}", is a window at the
// beginning of time, which would say: renew now.
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

// isUnset knows both zero times that programs write.
func isUnset(t time.Time) bool { return t.IsZero() || t.Unix() == 0 }

// safeLink is a link that may be shown and committed; empty for any other.
func safeLink(link string) string {
	u, err := url.Parse(link)
	if err != nil || len(link) > MaxExplanation || u.Scheme != "https" || u.Host == "" || u.User != nil || redact.Tokens(link) != link {
		return ""
	}
	return link
}

// askAgain is the time until the next question.
func askAgain(retryAfter string, now time.Time) time.Duration {
	wait, ok := problem.RetryAfter(retryAfter, now)
	if !ok {
		return UnknownAgain
	}
	return min(max(wait, LeastAgain), MostAgain)
}

// TokenSafe reports whether a token may be part of a path and a URL.
func TokenSafe(token string) bool {
	return token != "" && strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == "" && len(token) <= 512
}
