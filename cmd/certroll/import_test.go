package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"certroll/cmd/certroll/view"
	"certroll/examples/lab/labtest"
)

// tools are the clients whose directories the test creates.
var tools = []string{"certbot", "lego", "acme.sh", "certmate"}

// issued returns one certificate of the lab's CA for each tool and one for Vault.
func issued(t *testing.T, w *world) map[string]map[string]string {
	t.Helper()
	var hcl strings.Builder
	for _, name := range append(slices.Clone(tools), "vault") {
		fmt.Fprintf(&hcl, "certificate %q {\n  domains = [\"%s.lab.test\", \"www.%[2]s.lab.test\"]\n  issuer = issuer.pebble\n  dns = dns.lab\n}\n", name, strings.ReplaceAll(name, ".", "-"))
	}
	first := w.fresh(t, map[string]string{"certs.hcl": hcl.String()})
	first.settings("")
	first.certroll(0, "apply", "-auto-approve")
	pairs := map[string]map[string]string{}
	for _, name := range append(slices.Clone(tools), "vault") {
		pairs[name] = first.secret("tls/" + name)
	}
	return pairs
}

// layOut writes a pair into a new directory in the layout of a tool.
func layOut(t *testing.T, tool string, p map[string]string, directory string) string {
	t.Helper()
	dir := t.TempDir()
	name := strings.ReplaceAll(tool, ".", "-") + ".lab.test"
	files, links := map[string]string{}, map[string]string{}
	switch tool {
	case "certbot":
		for file, content := range map[string]string{"cert": p["certificate"], "chain": p["chain"], "fullchain": p["fullchain"], "privkey": p["private_key"]} {
			files["archive/"+name+"/"+file+"1.pem"] = content
			links["live/"+name+"/"+file+".pem"] = "../../archive/" + name + "/" + file + "1.pem"
		}
		files["renewal/"+name+".conf"] = "version = 2.11.0\narchive_dir = /etc/letsencrypt/archive/" + name + "\nfullchain = /etc/letsencrypt/live/" + name + "/fullchain.pem\n[renewalparams]\n" +
			"authenticator = dns-rfc2136\nserver = " + directory + "\nrenew_hook = systemctl reload nginx\n"
	case "lego":
		files["certificates/"+name+".crt"], files["certificates/"+name+".issuer.crt"] = p["fullchain"], p["chain"]
		files["certificates/"+name+".key"] = p["private_key"]
		files["certificates/"+name+".json"] = `{"domain": "` + name + `", "certUrl": "` + directory + `"}`
	case "acme.sh":
		at := name + "_ecc/"
		files[at+name+".cer"], files[at+"ca.cer"], files[at+"fullchain.cer"], files[at+name+".key"] = p["certificate"], p["chain"], p["fullchain"], p["private_key"]
		files[at+name+".conf"] = "Le_Domain='" + name + "'\nLe_Webroot='dns_nsupdate'\nLe_API='" + directory + "'\nLe_Keylength='ec-256'\nLe_ForceNewDomainKey='1'\n"
	case "certmate":
		at := "certificates/" + name + "/"
		files[at+"cert.pem"], files[at+"chain.pem"], files[at+"fullchain.pem"], files[at+"privkey.pem"] = p["certificate"], p["chain"], p["fullchain"], p["private_key"]
		files[at+"metadata.json"] = `{"domain": "` + name + `", "dns_provider": "rfc2136", "challenge_type": "dns-01", "ca_provider": "letsencrypt", "email": "ops@example.com"}`
	}
	for file, content := range files {
		write(t, filepath.Join(dir, file), content)
	}
	for link, to := range links {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// importer returns a world whose token has the example's policy and can also read secret/apps.
func importer(t *testing.T, w *world) *world {
	t.Helper()
	policy, err := os.ReadFile("../../examples/vault-policies/import.hcl")
	if err != nil {
		t.Fatal(err)
	}
	rules := string(policy) + "path \"secret/data/apps/*\" {\n  capabilities = [\"read\"]\n}\npath \"secret/metadata/apps/*\" {\n  capabilities = [\"read\", \"list\"]\n}\n"
	as := *w
	as.token = newToken(t, w.vault, "import", rules)
	return &as
}

// TestImport: certroll imports, commits and adopts the certificates of other clients, and orders none for them.
func TestImport(t *testing.T) {
	t.Parallel()
	base := newLab(t)
	pairs := issued(t, base)
	w := base.fresh(t, map[string]string{"defaults.hcl": ""})
	w.settings("")
	as := importer(t, w)
	mine := map[string]string{"cert": pairs["vault"]["certificate"], "key": pairs["vault"]["private_key"], "ca": pairs["vault"]["chain"], "owner": "shop"}
	for path, data := range map[string]any{"apps/shop/web": mine, "apps/shop/password": map[string]string{"password": "x"}} {
		if err := w.vault.API(t.Context(), http.MethodPost, "secret/data/"+path, map[string]any{"data": data}, nil); err != nil {
			t.Fatal(err)
		}
	}

	committed := map[string]string{}
	for _, tool := range tools {
		dir := layOut(t, tool, pairs[tool], w.directory)
		out := filepath.Join(w.dir, tool+".hcl")
		args := []string{"import", tool, dir, "-issuer", "pebble", "-dns", "lab", "-prefix", "tls/imported", "-json"}
		dry := imported(t, as.certroll(0, append(args, "-dry-run", "-out", out)...))
		if dry.Taken != 1 || !dry.DryRun || dry.File != "" {
			t.Errorf("%s, dry: %+v", tool, dry)
		}
		r := imported(t, as.certroll(0, append(args, "-out", out)...))
		if r.Taken != 1 || r.Certificates[0].Vault != "secret/tls/imported/"+r.Certificates[0].Block {
			t.Errorf("%s: %+v", tool, r)
		}
		if got := w.secret(strings.TrimPrefix(r.Certificates[0].Vault, "secret/")); got["fullchain"] != pairs[tool]["fullchain"] || got["private_key"] != pairs[tool]["private_key"] {
			t.Errorf("%s: the pair in Vault is another", tool)
		}
		content, err := os.ReadFile(out)
		if err != nil || string(content) != r.HCL {
			t.Errorf("%s: the file holds another HCL: %v", tool, err)
		}
		if said := as.certroll(1, append(args, "-out", out)...); !strings.Contains(said, "exists and is not overwritten") {
			t.Errorf("%s: %s", tool, said)
		}
		if again := imported(t, as.certroll(0, args...)); again.There != 1 || again.Taken != 0 || again.HCL != r.HCL {
			t.Errorf("%s, again: %+v", tool, again)
		}
		committed[tool+".hcl"] = r.HCL
	}
	r := imported(t, as.certroll(0, "import", "vault", "secret/apps/*", "-issuer", "pebble", "-dns", "lab", "-json"))
	if r.Taken != 1 || !strings.Contains(strings.Join(r.Certificates[0].Notes, "\n"), "the field owner") || !strings.Contains(strings.Join(r.Notes, "\n"), "1 secret(s) below secret/apps/*") {
		t.Errorf("vault: %+v", r)
	}
	committed["vault.hcl"] = r.HCL
	w.push(committed, "Take over what is there")

	if out := w.certroll(2, "plan", "-detailed-exitcode"); !strings.Contains(out, "Plan: 5 to adopt.") {
		t.Errorf("plan:\n%s", out)
	}
	w.certroll(0, "apply", "-auto-approve")
	for _, e := range w.events() {
		if e.Operation != "adopt" || e.Status != "success" {
			t.Errorf("event: %+v", e)
		}
	}
	if n := len(w.events()); n != 5 {
		t.Errorf("%d events, want 5", n)
	}
	for _, tool := range tools {
		path := "tls/imported/" + strings.ReplaceAll(tool, ".", "-") + ".lab.test"
		if tool == "acme.sh" {
			path += "_ecc"
		}
		m := w.metadata(path)
		if m.Data.CurrentVersion != 1 || m.Data.Custom["managed_by"] != "certroll" || w.secret(path)["certificate"] != pairs[tool]["certificate"] {
			t.Errorf("%s: %+v", tool, m)
		}
	}
	if status := w.ledgerFile("STATUS.md"); !strings.Contains(status, "5 live, 0 failing") {
		t.Errorf("STATUS.md:\n%s", status)
	}
	w.certroll(0, "plan", "-detailed-exitcode")

	t.Run("what was adopted is told as such", func(t *testing.T) {
		if r := imported(t, as.certroll(0, "import", "vault", "secret/apps/shop/web", "-json")); r.There != 1 || r.HCL != "" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("a renewal keeps the fields that readers know", func(t *testing.T) {
		w.push(map[string]string{"vault.hcl": strings.Replace(committed["vault.hcl"], "vault {", "rotate = \"try it\"\n  vault {", 1)}, "Rotate")
		w.certroll(0, "apply", "-auto-approve")
		now := w.secret("apps/shop/web")
		if now["cert"] == mine["cert"] || now["key"] == mine["key"] || now["ca"] == "" || now["key"] == "" || len(now) != 3 {
			t.Errorf("the fields: %v", len(now))
		}
	})
}

// selfMade returns a pair from a CA of the test, in the fields of the preset "pem".
func selfMade(t *testing.T, names ...string) map[string]string {
	t.Helper()
	made := func(template, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) *x509.Certificate {
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, 60)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	keys := make([]*ecdsa.PrivateKey, 2)
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "A test's CA"}, IsCA: true, BasicConstraintsValid: true}
	root = made(root, root, keys[0].Public(), keys[0])
	leaf := made(&x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, root, keys[1].Public(), keys[0])
	der, err := x509.MarshalPKCS8PrivateKey(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return map[string]string{"certificate": pemOf(leaf), "chain": "", "fullchain": pemOf(leaf), "private_key": key}
}

func imported(t *testing.T, out string) view.Import {
	t.Helper()
	var i view.Import
	if err := json.Unmarshal([]byte(out), &i); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return i
}

// TestImportWithBlocks: without --issuer and --dns the HCL contains blocks to fill in. It goes to standard output, and
// the report to standard error.
func TestImportWithBlocks(t *testing.T) {
	t.Parallel()
	w := &world{t: t, program: "certroll", vault: labtest.Vault(t), dir: t.TempDir()}
	w.token = w.vault.Token
	write(t, filepath.Join(w.dir, "certroll.hcl"), fmt.Sprintf("vault {\n  address = %q\n}\n", w.vault.Addr))
	pairs := selfMade(t, "certbot.lab.test", "www.certbot.lab.test")
	dir := layOut(t, "certbot", pairs, "https://acme-v02.api.letsencrypt.org/directory")
	cmd := w.command("import", "certbot", dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	w.noSecrets(out.String() + errs.String())
	filled := strings.Replace(out.String(), "fill-in.example.com", "ns.lab.test", 1)
	write(t, filepath.Join(w.dir, "repo", "imported.hcl"), filled)
	write(t, filepath.Join(w.dir, "certroll.hcl"), fmt.Sprintf("vault {\n  address = %q\n}\ntrust {\n  endpoints = [\"ns.lab.test:53\"]\n}\n", w.vault.Addr))
	if valid := w.certroll(0, "validate", "repo"); !strings.Contains(valid, "Valid: 1 certificate in 1 file") {
		t.Errorf("validate:\n%s\n%s", valid, out.String())
	}
	for _, want := range []string{`issuer "letsencrypt"`, `dns "rfc2136"`, "# FILL IN: store the credentials", "# FILL IN: RFC2136_NAMESERVER: write the address itself", `env("CERTROLL_DNS_RFC2136_RFC2136_TSIG_SECRET")`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
	for _, want := range []string{"+ certbot.lab.test  is taken over", "its renew_hook", "To fill in:", "Import: 1 to be adopted, 0 there already, 0 left behind."} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("no %s in\n%s", want, errs.String())
		}
	}

	t.Run("a CA that certroll.hcl does not allow", func(t *testing.T) {
		private := layOut(t, "certbot", pairs, "https://ca.lab.test:9000/directory")
		args := []string{"import", "certbot", private, "-dns", "lab", "-prefix", "tls/private", "-json"}
		r := imported(t, w.certroll(0, args...))
		const want = "trust {\n  endpoints = [\"ns.lab.test:53\", \"ca.lab.test:9000\"]\n}\n"
		if r.Taken != 1 || r.Left != 0 || r.Allow != want {
			t.Errorf("%+v", r)
		}
		write(t, filepath.Join(w.dir, "another", "imported.hcl"), r.HCL)
		write(t, filepath.Join(w.dir, "another", "dns.hcl"), "dns \"lab\" {\n  challenge = \"http-01\"\n}\n")
		if said := w.certroll(1, "validate", "another"); !strings.Contains(said, "Endpoint not allowed") {
			t.Errorf("validate, without the lines:\n%s", said)
		}
		allowed := fmt.Sprintf("vault {\n  address = %q\n}\n%s", w.vault.Addr, r.Allow)
		write(t, filepath.Join(w.dir, "allowed.hcl"), allowed)
		w.certroll(0, "validate", "-config", "allowed.hcl", "another")
		said := w.certroll(0, args[:len(args)-1]...)
		if !strings.Contains(said, "Write into certroll.hcl before you commit the HCL:\n  trust {\n    endpoints = [\"ns.lab.test:53\", \"ca.lab.test:9000\"]\n  }\n\nImport: 0 to be adopted, 1 there already, 0 left behind.") {
			t.Errorf("the report:\n%s", said)
		}
	})
	t.Run("what is left behind fails the command and is told", func(t *testing.T) {
		pairs["private_key"] = selfMade(t, "x.lab.test")["private_key"]
		wrong := layOut(t, "lego", pairs, "https://example.com/")
		if out := w.certroll(1, "import", "lego", wrong, "-out", "x.hcl"); !strings.Contains(out, "! lego.lab.test  is left behind") || !strings.Contains(out, "is not the certificate's") {
			t.Errorf("import:\n%s", out)
		}
		if _, err := os.Stat(filepath.Join(w.dir, "x.hcl")); err == nil {
			t.Error("a file was written for nothing")
		}
	})
	t.Run("mistakes", func(t *testing.T) {
		for _, tc := range []struct {
			args []string
			want string
		}{
			{[]string{"import", "lego", "nowhere"}, "reading nowhere"},
			{[]string{"import", "acme.sh", "repo"}, "not the home of acme.sh"},
			{[]string{"import", "certbot", dir, "-dns", "a b"}, "no name of a block"},
			{[]string{"import", "vault", "secret"}, "secret/* for all"},
			{[]string{"import", "vault", "nothing/x"}, "there is no such mount"},
		} {
			if out := w.certroll(1, tc.args...); !strings.Contains(out, tc.want) {
				t.Errorf("%v: no %q in\n%s", tc.args, tc.want, out)
			}
		}
	})
}
