package ask

import (
	"strings"
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"": "0001-01-01T00:00:00Z", "24h": "2026-11-24T12:00:00Z", "90m": "2026-11-25T10:30:00Z", "7d": "2026-11-18T12:00:00Z", "0d": "2026-11-25T12:00:00Z",
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T10:00:00Z": "2026-11-01T10:00:00Z",
		"-24h": "", "-7d": "", "d": "", "7 d": "", "1e9d": "", "999999999d": "", "yesterday": "", "2026-13-01": "",
	} {
		got, err := parseSince(text, now)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "neither a duration") {
				t.Errorf("%q: %v, %v", text, got, err)
			}
			continue
		}
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q: %s, %v, want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
}
