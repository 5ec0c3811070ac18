package dnschild

import (
	"testing"
	"time"
)

// replacer is like lego's rfc2136: it replaces a set, and so wants one challenge at a time.
type replacer struct{}

func (replacer) Present(_, _, _ string) error            { return nil }
func (replacer) CleanUp(_, _, _ string) error            { return nil }
func (replacer) Timeout() (timeout, every time.Duration) { return time.Minute, time.Second }
func (replacer) Sequential() time.Duration               { return time.Minute }

// TestRecordUpdatesAllowSeveral: record updates leave the other answers at a name, so that
// a name and its wildcard need not wait for each other. An account that negotiates its key
// still replaces the set.
func TestRecordUpdatesAllowSeveral(t *testing.T) {
	for algorithm, want := range map[string]bool{"": false, "hmac-sha256.": false, "gss-tsig.": true, "GSS-TSIG": true} {
		t.Setenv("RFC2136_TSIG_ALGORITHM", algorithm)
		p := RecordUpdates(replacer{})
		if _, sequential := p.(interface{ Sequential() time.Duration }); sequential != want {
			t.Errorf("%q: one at a time: %v, want %v", algorithm, sequential, want)
		}
		if _, timed := p.(interface {
			Timeout() (timeout, every time.Duration)
		}); !timed {
			t.Errorf("%q: the provider's times are lost", algorithm)
		}
	}
}
