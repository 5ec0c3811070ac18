package decode

import (
	"slices"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/spectest"
)

// underDefaults puts blocks below complete defaults.
func underDefaults(vault, blocks string) map[string]string {
	return map[string]string{"world.hcl": world, "a.hcl": "defaults {\n  issuer = issuer.le\n  dns    = dns.main\n" + vault + "}\n" + blocks}
}

const prefixed = "  vault {\n    prefix = \"tls/shop/\"\n  }\n"

func TestDefaultPath(t *testing.T) {
	tests := map[string]struct{ vault, block, want string }{
		"nothing is set":   {"", "", "secret/tls/web"},
		"a prefix":         {prefixed, "", "secret/tls/shop/web"},
		"another mount":    {prefixed, "  vault { mount = \"kv\" }\n", "kv/tls/shop/web"},
		"a path":           {prefixed, "  vault { path = \"tls/mine\" }\n", "secret/tls/mine"},
		"a path of null":   {prefixed, "  vault { path = null }\n", "secret/tls/shop/web"},
		"a prefix of null": {"  vault {\n    prefix = null\n  }\n", "", "secret/tls/web"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := decodeGood(t, underDefaults(tc.vault, "certificate \"web\" {\n  domains = [\"web.example.com\"]\n"+tc.block+"}\n"))
			if c := s.Certificate("web"); c.Vault.Mount+"/"+c.Vault.Path != tc.want {
				t.Errorf("it is written to %s/%s, want %s", c.Vault.Mount, c.Vault.Path, tc.want)
			}
		})
	}
}

// TestPrefixOfDirectories: the nearest prefix applies, setting by setting like other defaults, and for_each appends its
// keys.
func TestPrefixOfDirectories(t *testing.T) {
	files := underDefaults(prefixed, "certificate \"top\" { domains = [\"top.example.com\"] }\n")
	files["pay/d.hcl"] = "defaults {\n  vault { prefix = \"tls/pay/${local.stage}/\" }\n}\nlocals { stage = \"live\" }\ncertificate \"api\" {\n  for_each = toset([\"eu\"])\n  domains  = [\"${each.key}.example.com\"]\n}\n"
	files["pay/sub/d.hcl"] = "defaults {\n  vault { mount = \"kv\" }\n}\ncertificate \"deep\" { domains = [\"deep.example.com\"] }\n"
	s := decodeGood(t, files)
	for name, want := range map[string]string{"top": "secret/tls/shop/top", "api.eu": "secret/tls/pay/live/api.eu", "deep": "kv/tls/pay/live/deep"} {
		if c := s.Certificate(name); c.Vault.Mount+"/"+c.Vault.Path != want {
			t.Errorf("%s is written to %s/%s, want %s", name, c.Vault.Mount, c.Vault.Path, want)
		}
	}
}

func moving(from, to string) string {
	return "moved {\n  from = \"" + from + "\"\n  to   = \"" + to + "\"\n}\n"
}

func TestMoved(t *testing.T) {
	const (
		one   = "certificate \"basket\" { domains = [\"basket.example.com\"] }\n"
		mine  = "certificate \"basket\" {\n  domains = [\"basket.example.com\"]\n  vault { path = \"tls/mine\" }\n}\n"
		sites = "certificate \"store\" {\n  for_each = toset([\"lisbon\", \"a.b\"])\n  domains  = [\"${each.key}.example.com\"]\n}\n"
	)
	tests := map[string]struct {
		blocks, name, path string
		former             []string
	}{
		"one":                        {one + moving("checkout", "basket"), "basket", "tls/shop/checkout", []string{"checkout"}},
		"with a path":                {mine + moving("checkout", "basket"), "basket", "tls/mine", []string{"checkout"}},
		"a chain, in any order":      {moving("cart", "basket") + one + moving("checkout", "cart"), "basket", "tls/shop/checkout", []string{"cart", "checkout"}},
		"another one":                {one + moving("checkout", "cart"), "basket", "tls/shop/basket", nil},
		"a key":                      {sites + moving("store.porto", "store.lisbon"), "store.lisbon", "tls/shop/store.porto", []string{"store.porto"}},
		"another key":                {sites + moving("store.porto", "store.lisbon"), "store.a.b", "tls/shop/store.a.b", nil},
		"a block":                    {sites + moving("shop", "store"), "store.a.b", "tls/shop/shop.a.b", []string{"shop.a.b"}},
		"a block, then a key":        {sites + moving("shop", "store") + moving("store.porto", "store.lisbon"), "store.lisbon", "tls/shop/shop.porto", []string{"store.porto", "shop.porto"}},
		"a key, then a block":        {sites + moving("shop.porto", "shop.lisbon") + moving("shop", "store"), "store.lisbon", "tls/shop/shop.porto", []string{"shop.lisbon", "shop.porto"}},
		"from a key to a block":      {one + moving("shop.porto", "basket"), "basket", "tls/shop/shop.porto", []string{"shop.porto"}},
		"from a block of one to one": {sites + moving("web", "store.lisbon"), "store.lisbon", "tls/shop/web", []string{"web"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			files := underDefaults(prefixed, tc.blocks)
			var list []spec.File
			for path, text := range files {
				list = append(list, spec.File{Path: path, Bytes: []byte(text)})
			}
			s, diags := Files(t.Context(), list, strict)
			if s == nil {
				t.Fatal(spectest.Text(diags))
			}
			c := s.Certificate(tc.name)
			if c.Vault.Path != tc.path || !slices.Equal(c.MovedFrom, tc.former) {
				t.Errorf("it is at %s and was called %q; want %s and %q", c.Vault.Path, c.MovedFrom, tc.path, tc.former)
			}
		})
	}
}

// TestMovedTooOften: the length of a chain of moved blocks is bounded.
func TestMovedTooOften(t *testing.T) {
	name := func(i int) string { return "n" + strings.Repeat("x", i) }
	blocks := "certificate \"n\" {\n  domains = [\"n.example.com\"]\n  issuer  = issuer.le\n  dns     = dns.main\n}\n"
	for i := range maxMoves {
		blocks += moving(name(i+1), name(i))
	}
	decodeGood(t, map[string]string{"a.hcl": blocks, "b.hcl": world})
	blocks += moving(name(maxMoves+1), name(maxMoves))
	if _, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(blocks)}, {Path: "b.hcl", Bytes: []byte(world)}}, strict); !strings.Contains(spectest.Text(diags), "Too many moved blocks") {
		t.Error(spectest.Text(diags))
	}
}

// TestSameNames: one warning for each set of names, whatever the order and the keys, and none for certificates from
// different CAs.
func TestSameNames(t *testing.T) {
	const text = `
certificate "a" { domains = ["x.example.com", "y.example.com"] }
certificate "b" {
  domains = ["Y.example.com", "x.example.com"]
  key { algorithm = "rsa" }
}
certificate "c" { domains = ["x.example.com"] }
certificate "d" {
  domains = ["x.example.com"]
  issuer  = issuer.staging
}
certificate "e" {
  for_each = toset(["k", "l", "m"])
  domains  = ["e.example.com"]
}
`
	list := []spec.File{{Path: "staging.hcl", Bytes: []byte("issuer \"staging\" {\n  directory               = \"letsencrypt-staging\"\n  terms_of_service_agreed = true\n}\n")}}
	for path, content := range underDefaults("", text) {
		list = append(list, spec.File{Path: path, Bytes: []byte(content)})
	}
	s, diags := Files(t.Context(), list, strict)
	if s == nil {
		t.Fatal(spectest.Text(diags))
	}
	const want = `warning: a.hcl:7:1-16: Same names twice
	Certificate "b" has exactly the names that are also declared by "a" at a.hcl:6; a CA counts all of them against its limit of identical sets. Remove one, or leave it so where both are wanted.
warning: a.hcl:16:1-16: Same names twice
	Certificate "e.m" has exactly the names that are also declared by "e.k" at a.hcl:16, "e.l" at a.hcl:16; a CA counts all of them against its limit of identical sets. Remove one, or leave it so where both are wanted.
`
	if got := spectest.Text(diags); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
}
