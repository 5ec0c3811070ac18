package spec

import (
	"path"
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	tests := map[string]struct{ yes, no []string }{
		"a.hcl":              {[]string{"a.hcl"}, []string{"x/a.hcl", "A.hcl", "a.hcl/b", ""}},
		"*.hcl":              {[]string{"a.hcl", ".hcl"}, []string{"x/a.hcl", "a.txt"}},
		"**":                 {[]string{"a.hcl", "x/y/a.hcl"}, nil},
		"**/a.hcl":           {[]string{"a.hcl", "x/a.hcl", "x/y/a.hcl"}, []string{"xa.hcl", "a.hcl/x"}},
		"teams/shop/**":      {[]string{"teams/shop/a.hcl", "teams/shop/x/a.hcl"}, []string{"teams/shop2/a.hcl", "teams/a.hcl", "x/teams/shop/a.hcl", "teams/shop/../pay/a.hcl/.."}},
		"teams/*/dns.hcl":    {[]string{"teams/a/dns.hcl"}, []string{"teams/a/b/dns.hcl", "teams/dns.hcl"}},
		"teams/**/x/*.hcl":   {[]string{"teams/x/a.hcl", "teams/a/b/x/a.hcl", "teams/x/x/a.hcl"}, []string{"teams/x/y/a.hcl", "teams/a.hcl"}},
		"team-[ab]/?.hcl":    {[]string{"team-a/x.hcl"}, []string{"team-c/x.hcl", "team-a/xy.hcl"}},
		"**/**/**/**/a/**/b": {[]string{"a/b", "a/x/b"}, []string{strings.Repeat("a/", 5000) + "c"}},
	}
	for glob, test := range tests {
		if why := BadGlob(glob); why != "" {
			t.Errorf("%s is refused: %s", glob, why)
		}
		for _, file := range test.yes {
			if !MatchGlob(glob, file) {
				t.Errorf("%s does not match %s", glob, file)
			}
		}
		for _, file := range test.no {
			if file != path.Clean(file) && strings.Contains(file, "..") {
				continue // no repository contains such a path
			}
			if MatchGlob(glob, file) {
				t.Errorf("%s matches %.80s", glob, file)
			}
		}
	}
}

func TestNamePattern(t *testing.T) {
	tests := map[string]struct{ yes, no []string }{
		"shop.example.com": {[]string{"shop.example.com", "SHOP.Example.com"},
			[]string{"*.shop.example.com", "a.shop.example.com", "xshop.example.com", "example.com", "*.example.com"}},
		"*.shop.example.com": {[]string{"a.shop.example.com", "*.shop.example.com"},
			[]string{"shop.example.com", "a.b.shop.example.com", "*.b.shop.example.com", "*.example.com"}},
		"**.shop.example.com": {[]string{"a.shop.example.com", "a.b.shop.example.com", "*.shop.example.com", "*.b.shop.example.com"},
			[]string{"shop.example.com", "xshop.example.com", "*.example.com", "a.shop.example.com.example.net"}},
		"**.Bücher.example":     {[]string{"a.bücher.example", "a.xn--bcher-kva.example", "a.BÜCHER.example"}, []string{"bücher.example", "a.bucher.example"}},
		"xn--bcher-kva.example": {[]string{"bücher.example"}, []string{"bucher.example"}},
		"**":                    {[]string{"example.com", "*.example.com"}, []string{"192.0.2.1", "2001:db8::1"}},
		"192.0.2.0/24":          {[]string{"192.0.2.1", "::ffff:192.0.2.1"}, []string{"192.0.3.1", "2001:db8::1", "192.example.com"}},
		"192.0.2.7":             {[]string{"192.0.2.7"}, []string{"192.0.2.8"}},
		"2001:db8::/32":         {[]string{"2001:DB8::1"}, []string{"2001:db9::1", "192.0.2.1"}},
		"0.0.0.0/0":             {[]string{"192.0.2.7"}, []string{"2001:db8::1", "example.com"}},
		"**.com":                {[]string{"example.com", "*.example.com"}, []string{"example.net"}},
		"*." + strings.Repeat("a", 63) + ".example": {[]string{"b." + strings.Repeat("A", 63) + ".example"}, []string{strings.Repeat("a", 63) + ".example"}},
	}
	for typed, test := range tests {
		p, why := ParseNamePattern(typed)
		if why != "" {
			t.Errorf("%s is refused: %s", typed, why)
		}
		for want, names := range map[bool][]string{true: test.yes, false: test.no} {
			for _, name := range names {
				d, why := ParseDomain(name)
				if why != "" {
					t.Fatalf("%s: %s", name, why)
				}
				if p.Covers(d) != want {
					t.Errorf("%s covers %s: %v", typed, name, !want)
				}
			}
		}
	}
}

// FuzzPolicy: a policy covers only paths at or below what its author typed, and it covers a wildcard name only if it
// covers every name that the wildcard matches.
func FuzzPolicy(f *testing.F) {
	for _, seed := range [][2]string{
		{"shop.example.com", "shop.example.com"}, {"*.shop.example.com", "*.shop.example.com"}, {"**.bücher.example", "a.b.xn--bcher-kva.example"},
		{"192.0.2.0/24", "192.0.2.1"}, {"teams/**/x", "teams/a/b/x"}, {"**/[a-z]?/*", "a/bc/d"}, {"**", "example.com"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if BadGlob(pattern) == "" && MatchGlob(pattern, text) && !strings.ContainsAny(pattern, `*?[\`) && pattern != text {
			t.Errorf("the glob %q matches %q", pattern, text)
		}
		p, why := ParseNamePattern(pattern)
		d, whyNot := ParseDomain(text)
		if why != "" || whyNot != "" || !p.Covers(d) {
			return
		}
		if d.IP.IsValid() != p.addrs.IsValid() || !d.IP.IsValid() && d.ASCII != p.name && !strings.HasSuffix("."+d.ASCII, "."+p.name) && p.name != "" {
			t.Errorf("%q covers %q", pattern, text)
		}
		if rest, ok := strings.CutPrefix(d.ASCII, "*."); ok {
			inside, why := ParseDomain("any." + rest)
			if why == "" && !p.Covers(inside) {
				t.Errorf("%q covers %q, but not %q", pattern, text, inside.ASCII)
			}
		}
	})
}
