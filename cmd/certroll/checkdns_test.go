package main

import (
	"encoding/json"
	"strings"
	"testing"

	"certroll/cmd/certroll/view"
)

// TestPlanChecksDNS: with the flag, plan reports a CAA record that excludes the issuer, at the certificate's place.
// Without the flag it sends no DNS query.
func TestPlanChecksDNS(t *testing.T) {
	l := newLab(t)
	l.identify("ca.example.net")
	w := l.fresh(t, map[string]string{"teams/api.hcl": oneCertificate})
	w.settings("")
	if err := w.dns.Add(`api.lab.test. 60 IN CAA 0 issue "other.example.net"`); err != nil {
		t.Fatal(err)
	}
	review := func(args ...string) []view.Note {
		var p view.Plan
		out := w.certroll(0, append([]string{"plan", "-json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatalf("plan --json printed %s (%v)", out, err)
		}
		return p.Review
	}
	if found := review(); len(found) != 0 {
		t.Errorf("without --check-dns: %+v", found)
	}
	found := review("-check-dns")
	if len(found) != 1 || found[0].Code != "dns_check" || found[0].Certificate != "api" || found[0].File != "teams/api.hcl" || found[0].Line != 2 ||
		!strings.Contains(found[0].Text, "other.example.net") {
		t.Errorf("with --check-dns: %+v", found)
	}
}
