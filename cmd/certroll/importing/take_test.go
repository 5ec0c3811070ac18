package importing

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"certroll/reconcile/ledger"
	"certroll/spec"
)

// legoTree returns pairs by name in lego's layout.
func legoTree(pairs map[string]testPair) map[string]string {
	files := map[string]string{}
	for name, p := range pairs {
		base := "certificates/" + strings.Replace(name, "*", "_", 1)
		files[base+".crt"], files[base+".key"] = p.full, p.key
		files[base+".json"] = `{"certUrl": "https://acme-v02.api.letsencrypt.org/acme/cert/1"}`
	}
	return files
}

func take(t *testing.T, kv *memory, files map[string]string, o Options, dry bool) *Report {
	t.Helper()
	found, err := Lego(tree(files))
	if err != nil {
		t.Fatal(err)
	}
	report, err := Take(context.Background(), kv, found, o, now, dry)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func empty() *memory { return &memory{secrets: map[string]map[string]string{}} }

func TestTake(t *testing.T) {
	p := newPair(pairOptions{}, "www.example.com", "example.com")
	wild := newPair(pairOptions{key: newECDSA(elliptic.P384())}, "*.example.com")
	files := legoTree(map[string]testPair{"www.example.com": p, "*.example.com": wild})
	kv := empty()
	report := take(t, kv, files, options(), false)
	if kv.writes != 2 {
		t.Fatalf("%d writes, want 2: %+v", kv.writes, report.Results)
	}
	for _, r := range report.Results {
		if r.Outcome != Taken {
			t.Errorf("%s: %s %s", r.Name, r.Outcome, r.Why)
		}
	}
	if got := kv.secrets["secret/tls/www.example.com"]; got["certificate"] != p.cert || got["chain"] != p.chain || got["fullchain"] != p.full || got["private_key"] != p.key {
		t.Errorf("written: %v", slices.Sorted(maps.Keys(got)))
	}
	s := decoded(t, report.HCL)
	c := s.Certificate("wildcard.example.com")
	if c == nil || c.Key.Curve != "P-384" || c.Vault.Path != "tls/wildcard.example.com" || s.Issuers[c.Issuer].Directory != knownCAs[0].url {
		t.Errorf("%+v\n%s", c, report.HCL)
	}
	if c := s.Certificate("www.example.com"); !slices.Equal(c.Names(), []string{"www.example.com", "example.com"}) {
		t.Errorf("names %v, want the common name first", c.Names())
	}

	t.Run("again leaves all alone and says so", func(t *testing.T) {
		again := take(t, kv, files, options(), false)
		for _, r := range again.Results {
			if r.Outcome != There || !strings.Contains(r.Why, "the same pair is at secret/tls/") {
				t.Errorf("%s: %s %s", r.Name, r.Outcome, r.Why)
			}
		}
		if kv.writes != 2 || !bytes.Equal(again.HCL, report.HCL) {
			t.Errorf("%d writes; the HCL:\n%s", kv.writes, again.HCL)
		}
	})
	t.Run("what certroll adopted has its block", func(t *testing.T) {
		kv.custom = map[string]map[string]string{"secret/tls/www.example.com": {"managed_by": "certroll", "certificate": "www"}}
		again := take(t, kv, files, options(), false)
		i := slices.IndexFunc(again.Results, func(r Result) bool { return r.Name == "www.example.com" })
		if r := again.Results[i]; r.Outcome != There || r.Block != "" || strings.Contains(string(again.HCL), `"www.example.com"`) {
			t.Errorf("%+v\n%s", r, again.HCL)
		}
	})
	t.Run("dry", func(t *testing.T) {
		kv := empty()
		dry := take(t, kv, files, options(), true)
		if kv.writes != 0 || dry.Results[0].Outcome != Taken || !bytes.Equal(dry.HCL, report.HCL) {
			t.Errorf("%d writes, %+v", kv.writes, dry.Results)
		}
	})
	t.Run("blocks that are there", func(t *testing.T) {
		o := options()
		o.Issuer, o.DNS, o.Prefix = "mine", "cloud", "imported/"
		text := string(take(t, empty(), files, o, false).HCL)
		for _, want := range []string{"= issuer.mine", "= dns.cloud", `"imported/www.example.com"`} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		if strings.Contains(text, FillIn) || strings.Contains(text, "issuer \"") {
			t.Errorf("blocks were written:\n%s", text)
		}
	})
}

// TestLeftBehind: the import overwrites nothing in Vault, and writes nothing that certroll could not renew.
func TestLeftBehind(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2056)
	if err != nil {
		t.Fatal(err)
	}
	p, other := newPair(pairOptions{}, "www.example.com"), newPair(pairOptions{}, "www.example.com")
	const at = "secret/tls/www.example.com"
	cases := map[string]struct {
		pair testPair
		kv   *memory
		why  string
	}{
		"something else is there": {p, &memory{secrets: map[string]map[string]string{at: {"password": "x"}}}, "there is another secret at " + at},
		"another pair is there":   {p, &memory{secrets: map[string]map[string]string{at: {"c": other.full, "k": other.key}}}, "there is another secret at " + at},
		"certroll's is there": {p, &memory{secrets: map[string]map[string]string{at: {"c": other.full, "k": other.key}},
			custom: map[string]map[string]string{at: {"managed_by": "certroll", "certificate": "www"}}}, "certroll's certificate www, which is another one, is at"},
		"a deleted secret":        {p, &memory{deleted: map[string]bool{at: true}}, "the current version of the secret at"},
		"Vault fails":             {p, &memory{err: errors.New("permission denied")}, "permission denied"},
		"a write that fails":      {p, &memory{secrets: map[string]map[string]string{}, writeErr: errors.New("somebody else wrote it meanwhile")}, "somebody else wrote it meanwhile"},
		"expired":                 {newPair(pairOptions{notAfter: now.AddDate(0, 0, -3)}, "www.example.com"), empty(), "expired"},
		"a name the spec refuses": {newPair(pairOptions{}, "under_score.example.com"), empty(), "the underscore is not allowed"},
		"a wildcard that is none": {newPair(pairOptions{}, "a*.example.com"), empty(), "a wildcard stands for exactly one label"},
		"no names":                {newPair(pairOptions{emailInSANs: true}), empty(), "no DNS name and no address"},
		"a key nobody makes":      {newPair(pairOptions{key: weak}, "www.example.com"), empty(), "rsa-2056"},
		"a curve nobody makes":    {newPair(pairOptions{key: newECDSA(elliptic.P224())}, "www.example.com"), empty(), "ecdsa-P-224"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			report := take(t, tc.kv, legoTree(map[string]testPair{"www.example.com": tc.pair}), options(), false)
			if r := report.Results[0]; r.Outcome != Left || !strings.Contains(r.Why, tc.why) {
				t.Errorf("%s: %q, want %q", r.Outcome, r.Why, tc.why)
			}
			if tc.kv.writes != 0 || report.HCL != nil {
				t.Errorf("%d writes, HCL %s", tc.kv.writes, report.HCL)
			}
		})
	}
}

func TestNotesOnACertificate(t *testing.T) {
	staple := newPair(pairOptions{extension: &pkix.Extension{Id: mustStaple, Value: []byte{0x30, 3, 2, 1, 5}}, emailInSANs: true}, "www.example.com")
	report := take(t, empty(), legoTree(map[string]testPair{"www.example.com": staple}), options(), false)
	said(t, report.Results[0].Notes, "must-staple extension")
	said(t, report.Results[0].Notes, "e-mail addresses or URIs")
	if report.Results[0].Outcome != Taken {
		t.Error(report.Results[0].Why)
	}
	unsaid(t, report.Results[0].Notes, "already due")
	late := newPair(pairOptions{notAfter: now.AddDate(0, 0, 20)}, "www.example.com")
	report = take(t, empty(), legoTree(map[string]testPair{"www.example.com": late}), options(), false)
	said(t, report.Results[0].Notes, "already due")
}

// TestTooManyForOneFile: the import detects before its first write to Vault that the config repo would reject the file,
// here for its size.
func TestTooManyForOneFile(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("%s%d.%[1]s.%[1]s.example.com", strings.Repeat("a", 60), i))
	}
	p := newPair(pairOptions{}, names...)
	found := &Findings{}
	for i := range 60 {
		f := &Found{Name: fmt.Sprint("host-", i), From: "somewhere"}
		f.pair(tree(map[string]string{"c": p.full, "k": p.key}), "k", "c")
		found.Certificates = append(found.Certificates, f)
	}
	kv := empty()
	if _, err := Take(context.Background(), kv, found, options(), now, false); err == nil || !strings.Contains(err.Error(), "nothing was written") || kv.writes != 0 {
		t.Errorf("%v, %d writes", err, kv.writes)
	}
}

// TestNeedsOfTheConfigRepo: a CA that certroll.hcl does not allow still appears in the HCL. The report lists the lines
// that allow it, each address once.
func TestNeedsOfTheConfigRepo(t *testing.T) {
	p := newPair(pairOptions{}, "www.example.com")
	const private = "https://CA.Example.net:9000/acme/directory"
	found := func() *Findings {
		var list []*Found
		for _, name := range []string{"one", "two", "three"} {
			f := &Found{Name: name, From: "somewhere", Issuer: Issuer{Directory: private, Profile: strings.TrimPrefix(name, "one")}}
			f.pair(tree(map[string]string{"c": p.full, "k": p.key}), "k", "c")
			list = append(list, f)
		}
		return &Findings{Certificates: list}
	}
	run := func(t *testing.T, o Options) *Report {
		report, err := Take(context.Background(), empty(), found(), o, now, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range report.Results {
			if r.Outcome != Taken {
				t.Errorf("%s is %s: %s", r.Name, r.Outcome, r.Why)
			}
		}
		return report
	}
	t.Run("certroll.hcl allows nothing", func(t *testing.T) {
		report := run(t, options())
		lines := map[string]bool{}
		for _, n := range report.Needs {
			lines[n.Rule.Allow.Lines()] = true
		}
		const want = `trust { endpoints = ["ca.example.net:9000"] }`
		if len(lines) != 1 || !lines[want] {
			t.Errorf("told are %v, want %s", lines, want)
		}
		if got := len(decoded(t, report.HCL, "ca.example.net:9000").Certificates); got != 3 {
			t.Errorf("with that line there are %d certificates", got)
		}
		unsaid(t, report.Notes, "certroll.hcl")
	})
	t.Run("it allows the CA", func(t *testing.T) {
		o := options()
		o.Trust.Endpoints, _ = spec.ParseProbeRules([]string{"ca.example.net:9000"})
		if report := run(t, o); len(report.Needs) > 0 {
			t.Errorf("%+v", report.Needs)
		}
	})
	t.Run("there is none", func(t *testing.T) {
		o := options()
		o.Trust = spec.Trust{}
		report := run(t, o)
		said(t, report.Notes, "there is no certroll.hcl at hand")
	})
	t.Run("what stands in is not to be allowed", func(t *testing.T) {
		f := &Found{Name: "x", From: "somewhere", Accounts: []Account{{Challenge: spec.DNS01, Provider: "pdns"}}}
		f.pair(tree(map[string]string{"c": p.full, "k": p.key}), "k", "c")
		report, err := Take(context.Background(), empty(), &Findings{Certificates: []*Found{f}}, options(), now, false)
		if err != nil || len(report.Needs) > 0 || report.HCL == nil {
			t.Errorf("%v, %+v", err, report)
		}
	})
}

// TestInterrupted: Ctrl-C ends the import between two certificates and leaves nothing half done.
func TestInterrupted(t *testing.T) {
	found, err := Lego(tree(legoTree(map[string]testPair{"www.example.com": newPair(pairOptions{}, "www.example.com")})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	kv := empty()
	if _, err := Take(ctx, kv, found, options(), now, false); !errors.Is(err, context.Canceled) || kv.writes != 0 {
		t.Errorf("%v, %d writes", err, kv.writes)
	}
}

// TestHCL: the HCL decodes for any accounts and marks the places that a person must check.
func TestHCL(t *testing.T) {
	dns := func(provider, login string) Account {
		return Account{Challenge: spec.DNS01, Provider: provider, Login: login, Tool: "a tool's\nplugin"}
	}
	key := newECDSA(elliptic.P256())
	cases := map[string]struct {
		names []string
		found Found
		trust spec.Trust
		want  []string
	}{
		"nothing known":                       {[]string{"www.example.com"}, Found{}, spec.Trust{}, []string{`issuer "fill-in"`, `dns "fill-in"`, "FILL IN: replace the placeholder by your provider", "FILL IN: write the ACME directory"}},
		"a wildcard by HTTP":                  {[]string{"*.example.com"}, Found{Accounts: []Account{{Challenge: spec.HTTP01}}}, spec.Trust{}, []string{`provider = "rfc2136"`}},
		"an address":                          {[]string{"192.0.2.1"}, Found{Issuer: Issuer{Directory: knownCAs[0].url}, Accounts: []Account{dns("ovh", "")}}, spec.Trust{}, []string{`challenge = "http-01"`, `profile                 = "shortlived"`}},
		"a webroot":                           {[]string{"www.example.com"}, Found{Accounts: []Account{{Challenge: spec.HTTP01, Webroot: "/srv/\"www"}}}, spec.Trust{}, []string{`it was webroot = "/srv/\"www"`}},
		"ALPN":                                {[]string{"www.example.com"}, Found{Accounts: []Account{{Challenge: spec.TLSALPN01}}}, spec.Trust{}, []string{`dns "tls-alpn"`}},
		"two of a provider":                   {[]string{"www.example.com"}, Found{Accounts: []Account{dns("ovh", "a"), dns("ovh", "b")}}, spec.Trust{}, []string{"[dns.ovh, dns.ovh-2]", `env("CERTROLL_DNS_OVH_2_OVH_ENDPOINT")`}},
		"vault() where it may":                {[]string{"www.example.com"}, Found{Accounts: []Account{dns("cloudflare", "")}}, spec.Trust{Known: true, Vault: []string{"secret/dns/"}}, []string{`vault("secret/dns/cloudflare", "CF_DNS_API_TOKEN")`}},
		"env() where not":                     {[]string{"www.example.com"}, Found{Accounts: []Account{dns("cloudflare", "")}}, spec.Trust{Known: true, Env: []string{"OURS_"}}, []string{`env("OURS_CLOUDFLARE_CF_DNS_API_TOKEN")`}},
		"a binding":                           {[]string{"www.example.com"}, Found{Issuer: Issuer{Directory: knownCAs[2].url}}, spec.Trust{}, []string{"FILL IN: the external account binding", `key_id = "fill-in"`, `env("CERTROLL_DNS_ZEROSSL_EAB_HMAC")`}},
		"a server of one's own":               {[]string{"www.example.com"}, Found{Accounts: []Account{dns("pdns", "")}}, spec.Trust{Known: true}, []string{"FILL IN: PDNS_API_URL: write the address itself", `PDNS_API_URL = "fill-in.example.com"`, `env("CERTROLL_DNS_PDNS_PDNS_API_KEY")`}},
		"a CA of one's own":                   {[]string{"www.example.com"}, Found{Issuer: Issuer{Directory: "https://10.0.0.1:9000/acme/directory", Profile: "short"}}, spec.Trust{}, []string{`issuer "x-10-0-0-1-short"`}},
		"key kept, and paused":                {[]string{"www.example.com"}, Found{KeepsKey: true, Paused: true, ThresholdDays: 20}, spec.Trust{}, []string{`rotation  = "never"`, `reason         = "test did not renew it either"`, "threshold_days = 20"}},
		"a file name to fear":                 {[]string{"www.example.com"}, Found{From: "a\n}\nissuer \"x\" {\u2028\r"}, spec.Trust{}, []string{`# From a } issuer "x" {`}},
		"another mount":                       {[]string{"www.example.com"}, Found{At: ledger.Location{Mount: "kv", Path: "a/${b}"}}, spec.Trust{}, []string{`mount = "kv"`, `path  = "a/$${b}"`}},
		"a provider as its own source has it": {[]string{"www.example.com"}, Found{Accounts: []Account{dns("zonomi", "")}}, spec.Trust{}, []string{`env("CERTROLL_DNS_ZONOMI_ZONOMI_API_KEY")`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := newPair(pairOptions{key: key}, tc.names...)
			f := tc.found
			chain, err := certificates([]byte(p.full))
			if err != nil {
				t.Fatal(err)
			}
			f.Chain, f.Key, f.Name = chain, secretKey{key}, tc.names[0]
			if f.At.Path == "" {
				f.At = ledger.Location{Mount: "secret", Path: "tls/x"}
			}
			o := options()
			o.Trust = tc.trust
			d := newDocument(o)
			d.add(&f)
			if problems := d.check(); len(problems) > 0 {
				t.Errorf("it does not decode: %v", problems)
			}
			for _, want := range tc.want {
				if text := string(d.render()); !strings.Contains(text, want) {
					t.Errorf("no %s in\n%s", want, text)
				}
			}
		})
	}
}

func TestGuessesTheCA(t *testing.T) {
	for _, known := range knownCAs {
		if known.org == "" {
			continue
		}
		p := newPair(pairOptions{ca: newCA(known.org)}, "www.example.com")
		f := Found{}
		f.Chain, _ = certificates([]byte(p.full))
		if got := f.issuer().Directory; got != known.url {
			t.Errorf("%s: %s, want %s", known.org, got, known.url)
		}
	}
}

func TestFromAPrefix(t *testing.T) {
	a, b := newPair(pairOptions{}, "a.example.com"), newPair(pairOptions{}, "b.example.com")
	kv := &memory{secrets: map[string]map[string]string{
		"secret/tls/a": {"tls.crt": a.full, "tls.key": a.key}, "secret/tls/team/a": {"cert": b.full, "key": b.key},
		"secret/tls/notes": {"text": "nothing"}, "secret/other/c": {"cert": a.full, "key": a.key},
		"secret/certroll/pending/x": {"cert": a.full, "key": a.key},
		"secret/tls/mine":           {"cert": a.full, "key": a.key},
	}, custom: map[string]map[string]string{"secret/tls/mine": {"managed_by": "certroll", "certificate": "mine"}}}
	cases := map[string]struct {
		path string
		want []string
	}{
		"below a path":    {"tls/*", []string{"tls.a", "mine", "tls.team.a"}},
		"the whole mount": {"*", []string{"other.c", "tls.a", "tls.mine", "tls.team.a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := Vault(context.Background(), kv, []ledger.Location{{Mount: "secret", Path: tc.path}}, "certroll")
			if err != nil {
				t.Fatal(err)
			}
			report, err := Take(context.Background(), kv, found, options(), now, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range report.Results {
				if mine := strings.HasSuffix(r.At.Path, "mine"); (r.Outcome == There) != mine || (r.Block == "") != mine {
					t.Errorf("%+v: %s %s", r.At, r.Outcome, r.Why)
				}
			}
			if len(decoded(t, report.HCL).Certificates) != len(report.Results)-1 {
				t.Errorf("the HCL:\n%s", report.HCL)
			}
			said(t, report.Notes, "1 secret(s) below secret/"+tc.path)
		})
	}
	t.Run("one that was named and holds no pair", func(t *testing.T) {
		found, err := Vault(context.Background(), kv, []ledger.Location{{Mount: "secret", Path: "tls/nothing"}, {Mount: "secret", Path: "tls/notes"}, {Mount: "secret", Path: "tls/nothing"}}, "certroll")
		if err != nil {
			t.Fatal(err)
		}
		if len(found.Certificates) != 2 {
			t.Errorf("%d certificates, want each place once", len(found.Certificates))
		}
		for _, f := range found.Certificates {
			if f.Problem == "" {
				t.Errorf("%s was taken for a pair", f.From)
			}
		}
	})
}

func TestTheKeyIsNotPrinted(t *testing.T) {
	key := newECDSA(elliptic.P256())
	f := &Found{Key: secretKey{key}}
	encoded, err := json.Marshal(f.Key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	number := new(big.Int).SetBytes(raw).String()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", f.Key)
	for _, text := range []string{fmt.Sprint(f.Key), fmt.Sprintf("%v %+v %#v %s", f.Key, f.Key, f.Key, f.Key), fmt.Sprintf("%+v", *f), string(encoded), log.String()} {
		if strings.Contains(text, number) || !strings.Contains(text, "[private key]") {
			t.Error(text)
		}
	}
}
