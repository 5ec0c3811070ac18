package importing

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"certroll/spec"
	"certroll/spec/decode"
)

// FuzzForeignFiles: for any content of foreign files, no reader panics, the HCL decodes, and the report contains no
// key.
func FuzzForeignFiles(f *testing.F) {
	p := newPair(pairOptions{key: keyOf("fuzz")}, "www.example.com")
	f.Add("renew_before_expiry = 3 weeks\n[renewalparams]\nserver = https://acme-v02.api.letsencrypt.org/directory\naccount = x\nauthenticator = webroot\n[[webroot_map]]\na = /srv\n", "www.example.com", p.full, p.key)
	f.Add("Le_Webroot='dns_cf,no,/srv,alpn,dns'\nLe_API='https://example.com/'\nLe_RenewalDays='7'\nLe_ReloadCmd='__ACME_BASE64__START_eA==__ACME_BASE64__END_'\n", "*.example.com", p.cert, p.old)
	f.Add(`{"certUrl": "https://example.com/x", "dns_provider": "x\n\"", "challenge_type": "http-01", "ca_provider": "zerossl", "email": "a@example.com"}`, "_.${x}", p.full, p.key)
	f.Add("[[[=\n='\nx=\"", "..", "-----BEGIN CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	f.Fuzz(func(t *testing.T, settings, name, cert, key string) {
		dir := fstest.MapFS{}
		put := func(at, content string) { dir[at] = &fstest.MapFile{Data: []byte(content)} }
		safe := strings.NewReplacer("/", "_", "\x00", "_").Replace(name)
		put("renewal/"+safe+".conf", settings)
		put("live/"+safe+"/fullchain.pem", cert)
		put("live/"+safe+"/privkey.pem", key)
		put("certificates/"+safe+".crt", cert)
		put("certificates/"+safe+".key", key)
		put("certificates/"+safe+".json", settings)
		put("certificates/"+safe+"/cert.pem", cert)
		put("certificates/"+safe+"/privkey.pem", key)
		put("certificates/"+safe+"/metadata.json", settings)
		put(safe+"/"+safe+".conf", settings)
		put(safe+"/fullchain.cer", cert)
		put(safe+"/"+safe+".key", key)
		for _, read := range []func() (*Findings, error){
			func() (*Findings, error) { return Certbot(dir) }, func() (*Findings, error) { return Lego(dir) },
			func() (*Findings, error) { return AcmeSh(dir) }, func() (*Findings, error) { return CertMate(dir) },
		} {
			found, err := read()
			if err != nil {
				continue
			}
			report, err := Take(context.Background(), empty(), found, options(), now, false)
			if err != nil {
				t.Fatal(err)
			}
			if report.HCL == nil {
				continue
			}
			// A rule that certroll.hcl can lift is reported separately and is not an error.
			_, diags := decode.Files(t.Context(), []spec.File{{Path: "import.hcl", Bytes: report.HCL}}, options().Trust)
			if diags.HasErrors() && !spec.OnlyNewRules(diags) {
				t.Fatalf("%v\n%s", diags, report.HCL)
			}
			if strings.Contains(string(report.HCL), "PRIVATE KEY") {
				t.Fatalf("a key is told:\n%s", report.HCL)
			}
		}
	})
}

// FuzzFields is FuzzForeignFiles for the fields of a secret.
func FuzzFields(f *testing.F) {
	p := newPair(pairOptions{key: keyOf("fuzz")}, "www.example.com")
	f.Add("tls.crt", p.full, "password", "hunter2")
	f.Add("a", p.key+p.full, "", "")
	f.Add("${x}", p.chain, "ca", "MIIC")
	f.Fuzz(func(t *testing.T, name, value, other, text string) {
		found := &Found{Name: "x", There: true}
		found.pair(tree(map[string]string{"c": p.full, "k": p.key}), "k", "c")
		found.At.Mount, found.At.Path = "secret", "x"
		kv := &memory{secrets: map[string]map[string]string{"secret/x": {name: value, other: text, "k": p.key, "c": p.full}}}
		found.matchFields(kv.secrets["secret/x"])
		report, err := Take(context.Background(), kv, &Findings{Certificates: []*Found{found}}, options(), now, false)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(report.HCL), "PRIVATE KEY") {
			t.Fatalf("a key is told:\n%s", report.HCL)
		}
	})
}
