package spec

import (
	"testing"
)

// FuzzDomain: an accepted name reaches the CA as plain ASCII.
func FuzzDomain(f *testing.F) {
	for _, s := range []string{"example.com", "*.example.com", "bücher.example.com", "192.0.2.1", "::ffff:192.0.2.1", "a_b.example.com", "ﬀ.example.com", "xn--bcher-kva.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		d, why := ParseDomain(typed)
		if why != "" {
			return
		}
		again, why := ParseDomain(d.ASCII)
		if why != "" || again.ASCII != d.ASCII || again.Wildcard != d.Wildcard || again.IP != d.IP {
			t.Errorf("%q became %q, which became %q %s", typed, d.ASCII, again.ASCII, why)
		}
		for _, r := range d.ASCII {
			if r <= ' ' || r > '~' || r >= 'A' && r <= 'Z' {
				t.Errorf("%q became %q", typed, d.ASCII)
			}
		}
	})
}
