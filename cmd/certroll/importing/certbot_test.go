package importing

import (
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"certroll/spec"
)

// certbotTree returns /etc/letsencrypt with one certificate in certbot's layout; params go into its renewal file.
func certbotTree(p testPair, top, params string) fstest.MapFS {
	dir := tree(map[string]string{
		"archive/www.example.com/cert2.pem": p.cert, "archive/www.example.com/chain2.pem": p.chain,
		"archive/www.example.com/fullchain2.pem": p.full, "archive/www.example.com/privkey2.pem": p.key,
		"archive/www.example.com/fullchain1.pem": "an older one", "archive/www.example.com/privkey1.pem": "an older one",
		"live/README": "This directory contains your keys and certificates.",
		"renewal/www.example.com.conf": `# renew_before_expiry = 30 days
version = 2.11.0
archive_dir = /etc/letsencrypt/archive/www.example.com
cert = /etc/letsencrypt/live/www.example.com/cert.pem
privkey = /etc/letsencrypt/live/www.example.com/privkey.pem
chain = /etc/letsencrypt/live/www.example.com/chain.pem
fullchain = /etc/letsencrypt/live/www.example.com/fullchain.pem
` + top + `
# Options used in the renewal process
[renewalparams]
account = 0123456789abcdef0123456789abcdef
server = https://acme-v02.api.letsencrypt.org/directory
key_type = ecdsa
` + params,
		"accounts/acme-v02.api.letsencrypt.org/directory/0123456789abcdef0123456789abcdef/regr.json": `{"body": {"contact": ["mailto:certs@example.com"]}, "uri": "https://acme-v02.api.letsencrypt.org/acme/acct/1"}`,
	})
	for _, file := range []string{"cert", "chain", "fullchain", "privkey"} {
		dir["live/www.example.com/"+file+".pem"] = &fstest.MapFile{Data: []byte("../../archive/www.example.com/" + file + "2.pem"), Mode: fs.ModeSymlink | 0o777}
	}
	return dir
}

func TestCertbot(t *testing.T) {
	p := newPair(pairOptions{}, "www.example.com", "example.com")
	cases := map[string]struct {
		top, params string
		check       func(t *testing.T, f *Found)
	}{
		"a DNS plugin": {"", "authenticator = dns-cloudflare\ndns_cloudflare_credentials = /root/cloudflare.ini\n", func(t *testing.T, f *Found) {
			want := Account{Challenge: spec.DNS01, Provider: "cloudflare", Login: "/root/cloudflare.ini", Tool: "certbot's authenticator dns-cloudflare"}
			if len(f.Accounts) != 1 || f.Accounts[0] != want {
				t.Errorf("accounts: %+v", f.Accounts)
			}
			if f.KeepsKey || f.Paused || f.ThresholdDays != 0 || len(f.Notes) != 0 {
				t.Errorf("more than is there: %+v", f)
			}
		}},
		"a plugin as older ones wrote it": {"", "authenticator = certbot-dns-ovh:dns-ovh\n", func(t *testing.T, f *Found) {
			if len(f.Accounts) != 1 || f.Accounts[0].Provider != "ovh" {
				t.Errorf("accounts: %+v", f.Accounts)
			}
		}},
		"a plugin nobody knows": {"", "authenticator = dns-nowhere\n", func(t *testing.T, f *Found) {
			said(t, f.Notes, "no DNS provider for certbot's authenticator dns-nowhere")
		}},
		"webroot": {"", "authenticator = webroot\nwebroot_path = /srv/www,\n[[webroot_map]]\nwww.example.com = /srv/www\n", func(t *testing.T, f *Found) {
			if f.Accounts[0].Webroot != "/srv/www" || f.Accounts[0].Challenge != spec.HTTP01 {
				t.Errorf("accounts: %+v", f.Accounts)
			}
			said(t, f.Notes, "by files in /srv/www")
		}},
		"standalone": {"", "authenticator = standalone\n", func(t *testing.T, f *Found) {
			said(t, f.Notes, "http-01 by certbot's standalone")
		}},
		"manual": {"", "authenticator = manual\nmanual_auth_hook = /root/auth.sh\n", func(t *testing.T, f *Found) {
			said(t, f.Notes, "manual authenticator")
		}},
		"hooks are not told word for word": {"", "authenticator = dns-ovh\nrenew_hook = curl -H 'Token: hunter2' https://example.com/\npre_hook = true\npost_hook = None\n", func(t *testing.T, f *Found) {
			said(t, f.Notes, "its renew_hook in renewal/www.example.com.conf is a command")
			said(t, f.Notes, "its pre_hook")
			unsaid(t, f.Notes, "post_hook")
			unsaid(t, f.Notes, "hunter2")
		}},
		"what is mapped": {"renew_before_expiry = 3 weeks", "authenticator = dns-ovh\nreuse_key = True\nautorenew = False\npreferred_chain = ISRG Root X1\npreferred_profile = tlsserver\n", func(t *testing.T, f *Found) {
			if !f.KeepsKey || !f.Paused || f.ThresholdDays != 21 || f.Issuer.PreferredChain != "ISRG Root X1" || f.Issuer.Profile != "tlsserver" {
				t.Errorf("%+v", f)
			}
			said(t, f.Notes, "renewal.threshold_days = 21")
		}},
		"what is not": {"renew_before_expiry = soon", "authenticator = dns-ovh\nmust_staple = True\ninstaller = nginx\n", func(t *testing.T, f *Found) {
			said(t, f.Notes, `renew_before_expiry = "soon" is not imported`)
			said(t, f.Notes, "must_staple")
			said(t, f.Notes, "installer nginx")
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := Certbot(certbotTree(p, tc.top, tc.params))
			f := only(t, found, err)
			if f.check(now); f.Problem != "" || f.Name != "www.example.com" {
				t.Fatalf("%s: %s", f.Name, f.Problem)
			}
			if f.Issuer.Directory != "https://acme-v02.api.letsencrypt.org/directory" || f.Issuer.Email != "certs@example.com" {
				t.Errorf("issuer: %+v", f.Issuer)
			}
			said(t, found.Notes, "account keys in accounts/ are not imported")
			tc.check(t, f)
		})
	}
}

func TestCertbotDirectories(t *testing.T) {
	p := newPair(pairOptions{}, "www.example.com")
	whole := func() fstest.MapFS { return certbotTree(p, "", "authenticator = dns-ovh\n") }
	t.Run("a copy without its links", func(t *testing.T) {
		dir := whole()
		maps.DeleteFunc(dir, func(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, "live/") })
		found, err := Certbot(dir)
		f := only(t, found, err)
		if f.check(now); f.Problem != "" {
			t.Fatal(f.Problem)
		}
		said(t, f.Notes, "the newest version in archive/www.example.com, number 2")
	})
	t.Run("a certificate without its renewal file", func(t *testing.T) {
		dir := whole()
		delete(dir, "renewal/www.example.com.conf")
		found, err := Certbot(dir)
		f := only(t, found, err)
		if f.check(now); f.Problem != "" {
			t.Fatal(f.Problem)
		}
		said(t, f.Notes, "certbot has no renewal/www.example.com.conf")
	})
	t.Run("hooks and defaults of all", func(t *testing.T) {
		dir := whole()
		dir["renewal-hooks/deploy/reload.sh"] = &fstest.MapFile{Data: []byte("#!/bin/sh\n")}
		dir["cli.ini"] = &fstest.MapFile{Data: []byte("must-staple = True\n")}
		found, err := Certbot(dir)
		if err != nil {
			t.Fatal(err)
		}
		said(t, found.Notes, "renewal-hooks/deploy holds 1 script")
		said(t, found.Notes, "cli.ini")
	})
	t.Run("another directory", func(t *testing.T) {
		if _, err := Certbot(tree(map[string]string{"etc/passwd": ""})); err == nil || !strings.Contains(err.Error(), "neither renewal/ nor live/") {
			t.Error(err)
		}
	})
}

// TestPairs: the report names the exact defect of a pair, whichever tool left it.
func TestPairs(t *testing.T) {
	good := newPair(pairOptions{}, "www.example.com")
	other := newPair(pairOptions{}, "www.example.com")
	expired := newPair(pairOptions{notAfter: now.AddDate(0, 0, -1)}, "www.example.com")
	cases := map[string]struct {
		full, key, problem string
	}{
		"good":                       {good.full, good.key, ""},
		"key in its older form":      {good.full, good.old, ""},
		"with the root":              {good.full + good.root, good.key, ""},
		"chain in disorder":          {good.chain + good.root + good.cert, good.key, ""},
		"something that is no chain": {good.full + pemOf(newCA("Other").mid), good.key, ""},
		"expired":                    {expired.full, expired.key, "it expired 2026-11-24"},
		"another's key":              {good.full, other.key, "is not the certificate's"},
		"no key":                     {good.full, "", "is missing"},
		"a key that is none":         {good.full, "no PEM", "is not PEM"},
		"an encrypted key":           {good.full, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n", "is encrypted"},
		"no certificate":             {"nothing", good.key, "there is no certificate in"},
		"a CA's certificate":         {good.chain, good.key, "is the certificate of a CA"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"certificates/www.example.com.crt": tc.full}
			if tc.key != "" {
				files["certificates/www.example.com.key"] = tc.key
			}
			found, err := Lego(tree(files))
			f := only(t, found, err)
			f.check(now)
			if tc.problem == "" && f.Problem != "" || !strings.Contains(f.Problem, tc.problem) {
				t.Errorf("problem: %q, want %q", f.Problem, tc.problem)
			}
			if f.Problem == "" && len(f.Chain) != 2 {
				t.Errorf("the chain has %d certificates, want leaf and intermediate", len(f.Chain))
			}
		})
	}
}
