package importing

import (
	"crypto/elliptic"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/providers"
)

func TestLego(t *testing.T) {
	p := newPair(pairOptions{}, "*.example.com", "example.com")
	files := map[string]string{
		"certificates/_.example.com.crt": p.cert, "certificates/_.example.com.issuer.crt": p.chain, "certificates/_.example.com.key": p.old,
		"certificates/_.example.com.json":                                            `{"domain": "*.example.com", "certUrl": "https://acme-v02.api.letsencrypt.org/acme/cert/0a1b"}`,
		"accounts/acme-v02.api.letsencrypt.org/certs@example.com/account.json":       `{"email": "certs@example.com", "registration": {"uri": "https://acme-v02.api.letsencrypt.org/acme/acct/1"}}`,
		"accounts/acme-v02.api.letsencrypt.org/certs@example.com/keys/not-read.json": `{`,
	}
	t.Run("version 4, without a bundle", func(t *testing.T) {
		found, err := Lego(tree(files))
		f := only(t, found, err)
		if f.check(now); f.Problem != "" {
			t.Fatal(f.Problem)
		}
		if want := (Issuer{Directory: knownCAs[0].url, Email: "certs@example.com"}); f.Issuer != want || f.Name != "_.example.com" || len(f.Chain) != 2 {
			t.Errorf("%s: issuer %+v, chain of %d", f.Name, f.Issuer, len(f.Chain))
		}
		said(t, found.Notes, "lego does not store which DNS provider")
		said(t, found.Notes, "accounts/")
	})
	t.Run("version 5", func(t *testing.T) {
		five := maps.Clone(files)
		five["certificates/_.example.com.json"] = `{"id": "_.example.com", "domains": ["*.example.com"], "certUrl": "https://ca.example.com:14000/cert/1"}`
		five["accounts/ca.example.com_14000/certs@example.com/EC256/account.json"] = `{"id": "certs@example.com", "email": "other@example.com"}`
		found, err := Lego(tree(five))
		f := only(t, found, err)
		if want := (Issuer{Directory: "https://ca.example.com:14000/directory", Email: "other@example.com"}); f.Issuer != want {
			t.Errorf("issuer %+v", f.Issuer)
		}
		said(t, f.Notes, "the CA's directory https://ca.example.com:14000/directory")
	})
	t.Run("another directory", func(t *testing.T) {
		if _, err := Lego(tree(map[string]string{"x": ""})); err == nil || !strings.Contains(err.Error(), "not the directory of lego") {
			t.Error(err)
		}
	})
}

// acmeShTree returns ~/.acme.sh with one certificate for an ECDSA key.
func acmeShTree(p testPair, conf string) map[string]string {
	return map[string]string{
		"account.conf": "SAVED_CF_Token='hunter2'\nACCOUNT_EMAIL='wrong@example.com'\n",
		"ca/acme-v02.api.letsencrypt.org/directory/ca.conf":  "CA_KEY_HASH='x'\nCA_EMAIL='certs@example.com'\nCA_EAB_HMAC_KEY='hunter2'\n",
		"www.example.com_ecc/www.example.com.cer":            p.cert,
		"www.example.com_ecc/ca.cer":                         p.chain,
		"www.example.com_ecc/fullchain.cer":                  p.full,
		"www.example.com_ecc/www.example.com.key":            p.old,
		"www.example.com_ecc/www.example.com.csr":            "",
		"www.example.com_ecc/www.example.com.conf":           "Le_Domain='www.example.com'\nLe_Alt='no'\nLe_API='https://acme-v02.api.letsencrypt.org/directory'\nLe_Keylength='ec-256'\n" + conf,
		"dnsapi/dns_cf.sh":                                   "#!/usr/bin/env sh\n",
		"deploy/docker.sh":                                   "#!/usr/bin/env sh\n",
		"http.header":                                        "",
		"old.example.com/backup/key.bak":                     "",
		"acme.sh":                                            "#!/usr/bin/env sh\n",
		"notify/mail.sh":                                     "",
		"ca/acme.zerossl.com/v2/DV90/account.json":           "{}",
		"ca/acme-v02.api.letsencrypt.org/directory/acct.key": "not read",
	}
}

func dressed(text string) string {
	return "__ACME_BASE64__START_" + base64.StdEncoding.EncodeToString([]byte(text)) + "__ACME_BASE64__END_"
}

func TestAcmeSh(t *testing.T) {
	p := newPair(pairOptions{}, "www.example.com")
	cases := map[string]struct {
		conf  string
		check func(t *testing.T, f *Found)
	}{
		"DNS": {"Le_Webroot='dns_cf'\n", func(t *testing.T, f *Found) {
			if len(f.Accounts) != 1 || f.Accounts[0].Provider != "cloudflare" || !f.KeepsKey {
				t.Errorf("%+v", f)
			}
			said(t, f.Notes, `key.rotation is "never"`)
		}},
		"a fresh key each time": {"Le_Webroot='dns_aws'\nLe_ForceNewDomainKey='1'\n", func(t *testing.T, f *Found) {
			if f.KeepsKey || f.Accounts[0].Provider != "route53" {
				t.Errorf("%+v", f)
			}
		}},
		"two ways": {"Le_Webroot='dns_cf,dns_nsupdate,dns_cf'\nLe_ChallengeAlias='alias.example.com'\n", func(t *testing.T, f *Found) {
			if len(f.Accounts) != 2 || f.Accounts[1].Provider != "rfc2136" {
				t.Errorf("accounts: %+v", f.Accounts)
			}
			said(t, f.Notes, "tries the accounts of the list in order")
			said(t, f.Notes, "follows the CNAME")
		}},
		"standing alone": {"Le_Webroot='no'\n", func(t *testing.T, f *Found) {
			if f.Accounts[0].Challenge != spec.HTTP01 {
				t.Errorf("accounts: %+v", f.Accounts)
			}
			said(t, f.Notes, "its challenge is http-01")
		}},
		"ALPN":         {"Le_Webroot='alpn'\n", func(t *testing.T, f *Found) { said(t, f.Notes, "its challenge is tls-alpn-01") }},
		"webroot":      {"Le_Webroot='/srv/www'\n", func(t *testing.T, f *Found) { said(t, []string{f.Accounts[0].Webroot}, "/srv/www") }},
		"by hand":      {"Le_Webroot='dns'\n", func(t *testing.T, f *Found) { said(t, f.Notes, "manual DNS mode") }},
		"nobody knows": {"Le_Webroot='dns_nowhere'\n", func(t *testing.T, f *Found) { said(t, f.Notes, "no DNS provider for acme.sh's dns_nowhere") }},
		"hooks are not told word for word": {"Le_Webroot='dns_cf'\nLe_ReloadCmd='" + dressed("curl -u admin:hunter2 https://example.com/") + "'\nLe_PreHook=''\nLe_DeployHook='docker,'\nLe_RealKeyPath='/etc/nginx/key.pem'\n", func(t *testing.T, f *Found) {
			said(t, f.Notes, "its reload command (Le_ReloadCmd in www.example.com_ecc/www.example.com.conf)")
			said(t, f.Notes, "its deploy hook")
			said(t, f.Notes, "copied it to files (Le_RealKeyPath)")
			unsaid(t, f.Notes, "pre-hook")
			unsaid(t, f.Notes, "hunter2")
		}},
		"what is mapped": {"Le_Webroot='dns_cf'\nLe_RenewalDays='70'\nLe_Preferred_Chain='" + dressed("ISRG Root X1") + "'\nLe_Certificate_Profile='tlsserver'\nLe_OCSP_Staple='1'\n", func(t *testing.T, f *Found) {
			if f.ThresholdDays != 20 || f.Issuer.PreferredChain != "ISRG Root X1" || f.Issuer.Profile != "tlsserver" {
				t.Errorf("%+v", f)
			}
			said(t, f.Notes, "must-staple")
		}},
		"a time of renewal that makes no sense": {"Le_Webroot='dns_cf'\nLe_RenewalDays='120'\n", func(t *testing.T, f *Found) {
			said(t, f.Notes, `Le_RenewalDays = "120" is not imported`)
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := AcmeSh(tree(acmeShTree(p, tc.conf)))
			f := only(t, found, err)
			if f.check(now); f.Problem != "" || f.Name != "www.example.com_ecc" {
				t.Fatalf("%s: %s", f.Name, f.Problem)
			}
			if f.Issuer.Email != "certs@example.com" || f.Issuer.Directory != knownCAs[0].url {
				t.Errorf("issuer: %+v", f.Issuer)
			}
			said(t, found.Notes, "account keys in ca/")
			tc.check(t, f)
		})
	}
	if _, err := AcmeSh(tree(map[string]string{"x/y.conf": ""})); err == nil || !strings.Contains(err.Error(), "not the home of acme.sh") {
		t.Error(err)
	}
}

func TestCertMate(t *testing.T) {
	p := newPair(pairOptions{key: newECDSA(elliptic.P384())}, "*.example.com")
	at := func(prefix, meta string) map[string]string {
		files := map[string]string{"data/settings.json": `{"dns_providers": {"cloudflare": {"api_token": "hunter2"}}}`, prefix + "lost+found/x": ""}
		for name, content := range map[string]string{"cert.pem": p.cert, "chain.pem": p.chain, "fullchain.pem": p.full, "privkey.pem": p.key, "metadata.json": meta} {
			if content != "" {
				files[prefix+"*.example.com/"+name] = content
			}
		}
		return files
	}
	t.Run("with its metadata", func(t *testing.T) {
		meta := `{"domain": "*.example.com", "san_domains": [], "dns_provider": "powerdns", "challenge_type": "dns-01", "email": "certs@example.com",
			"staging": true, "account_id": "prod", "ca_provider": "letsencrypt", "domain_alias": "alias.example.com", "auto_renew": false}`
		found, err := CertMate(tree(at("certificates/", meta)))
		f := only(t, found, err)
		if f.check(now); f.Problem != "" {
			t.Fatal(f.Problem)
		}
		if want := (Account{Challenge: spec.DNS01, Provider: "pdns", Login: "prod", Tool: "CertMate's powerdns"}); !slices.Equal(f.Accounts, []Account{want}) {
			t.Errorf("accounts: %+v", f.Accounts)
		}
		if ca, _ := caOf(f.Issuer.Directory); ca.name != "letsencrypt-staging" || f.Issuer.Email != "certs@example.com" || !f.Paused || f.Shape() != "ecdsa-P-384" {
			t.Errorf("%+v", f)
		}
		said(t, f.Notes, "follows the CNAME")
		said(t, found.Notes, "settings")
	})
	t.Run("the certificates directory itself, without metadata", func(t *testing.T) {
		found, err := CertMate(tree(at("", "")))
		f := only(t, found, err)
		said(t, f.Notes, "there is no metadata.json")
	})
	t.Run("a CA and a provider nobody knows", func(t *testing.T) {
		found, err := CertMate(tree(at("certificates/", `{"ca_provider": "private_ca", "dns_provider": "custom-script"}`)))
		f := only(t, found, err)
		said(t, f.Notes, `CA "private_ca"`)
		said(t, f.Notes, `CertMate's "custom-script"`)
	})
	if _, err := CertMate(tree(map[string]string{"x/y": ""})); err == nil || !strings.Contains(err.Error(), "not the directory of CertMate") {
		t.Error(err)
	}
}

// TestTables: the spec accepts every entry of the tables.
func TestTables(t *testing.T) {
	codes := map[string]bool{}
	for _, table := range []map[string]string{certbotPlugins, acmeShHooks, certmateProviders} {
		for _, code := range table {
			codes[code] = true
		}
	}
	for _, code := range providers.Codes() {
		codes[code] = true
	}
	delete(codes, "httpreq") // allowed only by certroll.hcl
	d := newDocument(options())
	for code := range codes {
		d.account(Account{Challenge: spec.DNS01, Provider: code})
	}
	for _, known := range knownCAs {
		d.issuer(Issuer{Directory: known.url})
	}
	s := decoded(t, d.render())
	if len(s.DNS) != len(codes) {
		t.Errorf("%d accounts of %d", len(s.DNS), len(codes))
	}
	for _, known := range knownCAs {
		if i := s.Issuers[known.name]; i == nil || i.Directory != known.url || (i.EAB != nil) != known.eab {
			t.Errorf("%s: %+v", known.name, i)
		}
	}
}
