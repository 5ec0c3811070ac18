package manual

import (
	"strings"
	"testing"
	"time"
)

// TestDNSManPage: certroll-dns has a man page too.
func TestDNSManPage(t *testing.T) {
	page := string(manPage(dnsProgram(), "v1.2.3", time.Time{}))
	for _, part := range []string{`.TH "CERTROLL-DNS" 1`, `certroll\-dns \- run one DNS provider`, "\n../libexec/certroll from there."} {
		if !strings.Contains(strings.ReplaceAll(page, `\&`, ""), part) {
			t.Errorf("the page lacks %q:\n%s", part, page)
		}
	}
}

// TestManDate: the date comes from the source.
func TestManDate(t *testing.T) {
	if at, err := manDate("1764072000", ""); err != nil || at.Format(time.DateOnly) != "2025-11-25" {
		t.Error(at, err)
	}
	if _, err := manDate("yesterday", ""); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Error(err)
	}
}
