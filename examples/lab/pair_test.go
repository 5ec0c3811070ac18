package lab

import (
	"strings"
	"testing"
)

func TestCheckPair(t *testing.T) {
	cert, key, err := SelfSigned("one")
	if err != nil {
		t.Fatal(err)
	}
	otherCert, otherKey, err := SelfSigned("other")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		chain, key, roots []byte
		name, want        string // want: a part of the error; empty for none
	}{
		"fits":         {cert, key, cert, "localhost", ""},
		"other key":    {cert, otherKey, cert, "localhost", "not the certificate's"},
		"other root":   {cert, key, otherCert, "localhost", "does not end at a root"},
		"other name":   {cert, key, cert, "example.com", "is for localhost, not for example.com"},
		"no key":       {cert, nil, cert, "localhost", "no private key"},
		"no chain":     {nil, key, cert, "localhost", "no certificate"},
		"key as chain": {key, key, cert, "localhost", "certificate 1 of the chain"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			leaf, err := CheckPair(string(c.chain), string(c.key), string(c.roots), c.name)
			switch {
			case c.want == "" && (err != nil || leaf == nil):
				t.Errorf("got %v, want no error", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
