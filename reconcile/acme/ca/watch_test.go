package ca

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"certroll/reconcile/acme/problem"
)

// TestPace checks that the client uses its own polling interval if the CA names none or
// an absurd one.
func TestPace(t *testing.T) {
	for name, test := range map[string]struct {
		retryAfter  string
		least, most int
	}{
		"not told":       {"", 10, 25},
		"told nothing":   {"0", 10, 25},
		"a date gone by": {"Mon, 01 Nov 1999 12:00:00 GMT", 10, 25},
		"in a second":    {"1", 10, 20},
		"in ten seconds": {"10", 12, 12},
		"in two minutes": {"120", 12, 12},
		"in a day":       {"86400", 12, 12},
		"in ten years":   {"Mon, 01 Nov 2100 12:00:00 GMT", 12, 12},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			w := NewWatch(time.Now, time.Minute)
			polls := 0
			var err error
			for err == nil {
				if err = w.Wait(t.Context(), "asking", "is slow", Answer{RetryAfter: test.retryAfter}); err == nil {
					polls++
				}
			}
			if d := time.Since(began); d != time.Minute {
				t.Errorf("%s: given up after %s, want the whole minute", name, d)
			}
			if !strings.Contains(err.Error(), "is slow after 1m0s") || !retryOf(err).IsZero() {
				t.Errorf("%s: got %v, to be tried again at %s", name, err, retryOf(err))
			}
			if polls < test.least || polls > test.most {
				t.Errorf("%s: %d polls in a minute, want %d to %d", name, polls, test.least, test.most)
			}
		})
	}
}

func retryOf(err error) time.Time { return problem.AsError("", err).RetryAt() }

func TestTokenSafe(t *testing.T) {
	for token, want := range map[string]bool{
		"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA": true, "": false, "../../etc/passwd": false, "a/b": false, "a.b": false, "a b": false,
	} {
		if got := TokenSafe(token); got != want {
			t.Errorf("%q: got %v, want %v", token, got, want)
		}
	}
}
