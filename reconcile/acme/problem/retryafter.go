package problem

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// RetryLimit bounds what a Retry-After may ask for, against nonsense.
const RetryLimit = 366 * 24 * time.Hour

// limitText is how Let's Encrypt says the time within the detail, for answers
// whose header a proxy lost.
var limitText = regexp.MustCompile(`retry after (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?: ?UTC|Z)`)

// RetryAt is the moment a Retry-After header or, without one, a detail names.
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

// RetryAfter reads the header in both forms of RFC 9110 section 10.2.3.
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
