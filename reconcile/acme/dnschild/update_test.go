package dnschild

import (
	"testing"
	"time"
)

// replacer is a provider like lego's rfc2136: it replaces the whole record set, so it
// can serve only one challenge at a time.
type replacer struct{}

func (replacer) Present(_, _, _ string) error            { return nil }
func (replacer) CleanUp(_, _, _ string) error            { return nil }
func (replacer) Timeout() (timeout, every time.Duration) { return time.Minute, time.Second }
func (replacer) Sequential() time.Duration               { return time.Minute }

// TestRecordUpdatesAllowSeveral checks that updates of single records keep other values
// at the name, so a name and its wildcard need not take turns. An account that
// negotiates its key (GSS-TSIG) still replaces the set.
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
