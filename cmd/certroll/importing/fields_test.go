package importing

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"certroll/reconcile/keypair"
	"certroll/reconcile/ledger"
)

// TestFields: for any fields of a secret, rendering the same pair again gives the same values in all fields that the
// import carries over.
func TestFields(t *testing.T) {
	p := newPair(pairOptions{}, "www.example.com", "example.com")
	bare := newPair(pairOptions{}, "www.example.com")
	store := base64.StdEncoding.EncodeToString(append([]byte{0x30, 0x82, 1, 2}, make([]byte, 80)...))
	cases := map[string]struct {
		data   map[string]string
		preset string
		lost   []string // fields that the import cannot express
		note   string
	}{
		"pem":                       {map[string]string{"certificate": p.cert, "chain": p.chain, "fullchain": p.full, "private_key": p.key}, "pem", nil, ""},
		"pem without a chain":       {map[string]string{"certificate": bare.cert, "chain": "", "fullchain": bare.cert, "private_key": bare.key}, "pem", nil, ""},
		"pem, in part":              {map[string]string{"certificate": p.cert, "private_key": p.key}, "", nil, ""},
		"chain apart":               {map[string]string{"crt": p.cert, "chain": p.chain, "key": p.key}, "", nil, ""},
		"fullchain with its root":   {map[string]string{"fullchain": p.full + p.root, "key": p.key}, "", nil, ""},
		"pem, but the chain first":  {map[string]string{"certificate": p.full, "chain": p.chain, "fullchain": p.full, "private_key": p.key}, "", nil, ""},
		"kubernetes":                {map[string]string{"tls.crt": p.full, "tls.key": p.key, "ca.crt": p.chain}, "kubernetes", nil, ""},
		"kubernetes, another ca":    {map[string]string{"tls.crt": p.full, "tls.key": p.old, "ca.crt": p.root}, "kubernetes", []string{"ca.crt"}, "the field ca.crt differs from the preset"},
		"pki, texts alone":          {map[string]string{"certificate": p.cert, "issuing_ca": p.chain, "ca_chain": p.chain, "private_key": p.old, "private_key_type": "ec", "serial_number": "a1:b2:c3", "expiration": "1"}, "pki", []string{"private_key_type", "expiration"}, "PKCS #8"},
		"names of somebody's own":   {map[string]string{"cert": p.cert, "key": p.key, "ca": p.chain, "bundle": p.full}, "", nil, ""},
		"HAProxy":                   {map[string]string{"haproxy.pem": p.key + p.full}, "", nil, ""},
		"certificate, then key":     {map[string]string{"all": p.cert + p.key}, "", nil, ""},
		"with more beside":          {map[string]string{"fullchain": p.full, "key": p.key, "domain": "www.example.com", "names": "www.example.com,example.com", "expires": p.leaf.NotAfter.Format("2006-01-02T15:04:05Z07:00")}, "", nil, ""},
		"a password beside":         {map[string]string{"fullchain": p.full, "key": p.key, "password": "hunter2"}, "", []string{"password"}, "the field password does not come from"},
		"a keystore beside":         {map[string]string{"fullchain": p.full, "key": p.key, "store.p12": store}, "", []string{"store.p12"}, "write pkcs12(vault("},
		"a pair with a blank field": {map[string]string{"fullchain": p.full, "key": p.key, "comment": ""}, "", []string{"comment"}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kv := &memory{secrets: map[string]map[string]string{"secret/apps/www": tc.data}}
			found, err := Vault(context.Background(), kv, []ledger.Location{{Mount: "secret", Path: "apps/www"}}, "certroll")
			f := only(t, found, err)
			report, err := Take(context.Background(), kv, found, options(), now, false)
			if err != nil || report.Results[0].Outcome != Taken || kv.writes != 0 {
				t.Fatalf("%+v, %d writes, %v", report.Results, kv.writes, err)
			}
			if f.Fields.Preset != tc.preset {
				t.Errorf("preset %q, want %q: %v", f.Fields.Preset, tc.preset, f.Fields.Exprs)
			}
			if tc.note != "" {
				said(t, f.Notes, tc.note)
			} else if len(tc.lost) == 0 && len(f.Notes) > 0 {
				t.Errorf("there is nothing to say, and it says %q", f.Notes)
			}
			if strings.Contains(string(report.HCL)+strings.Join(f.Notes, ""), "hunter2") {
				t.Error("a field's value was told")
			}
			c := decoded(t, report.HCL).Certificates[0]
			material, err := keypair.MaterialOf(f.Chain, f.Key.Signer)
			if err != nil {
				t.Fatal(err)
			}
			renewed, err := c.Vault.Fields.Render(material, nil)
			if err != nil {
				t.Fatal(err)
			}
			for field, was := range tc.data {
				is, there := renewed[field]
				if slices.Contains(tc.lost, field) {
					continue
				}
				if !there || !same(was, is) {
					t.Errorf("the field %s would change:\n%s", field, is)
				}
			}
		})
	}
}
