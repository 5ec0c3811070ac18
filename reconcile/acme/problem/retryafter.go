package problem

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// RetryLimit bounds a Retry-After, against nonsensical values.
const RetryLimit = 366 * 24 * time.Hour

// limitText matches the retry time in Let's Encrypt's rate limit details. It serves for
// answers whose Retry-After header a proxy dropped.
var limitText = regexp.MustCompile(`retry after (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?: ?UTC|Z)`)

// RetryAt returns the time that a Retry-After header names, else the time in detail;
// zero if neither names one.
func RetryAt(header, detail string, now time.Time) time.Time {
	if wait, ok := RetryAfter(header, now); ok {
		return now.Add(wait)
	}
	if m := limitText.FindStringSubmatch(detail); m != nil {
		if t, err := time.Parse(time.DateTime, strings.Replace(m[1], "T", " ", 1)); err == nil {
			if latest := now.Add(RetryLimit); t.After(latest) {
				return latest
			}
			return t
		}
	}
	return time.Time{}
}

// RetryAfter parses the header in both forms of RFC 9110 section 10.2.3. The result is
// at most RetryLimit; ok is false for a malformed value.
func RetryAfter(value string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		if seconds > uint64(RetryLimit/time.Second) {
			return RetryLimit, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	if t, err := http.ParseTime(value); err == nil {
		return min(max(t.Sub(now), 0), RetryLimit), true
	}
	return 0, false
}
