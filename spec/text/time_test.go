package text

import (
	"testing"
	"time"
)

func TestTimeLeft(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second: "1 second", 119 * time.Second: "119 seconds", 2 * time.Minute: "2 minutes",
		2 * time.Hour: "2 hours", 47 * time.Hour: "47 hours", 48 * time.Hour: "2 days", 90 * 24 * time.Hour: "90 days",
	} {
		if got := TimeLeft(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for given, want := range map[string]string{"": "", "äöü": "äöü", "äöüß": "äöü..."} {
		if got := Clip(given, 3); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
