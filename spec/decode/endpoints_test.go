package decode

import (
	"net/netip"
	"strings"
	"testing"

	"certroll/spec"
	"certroll/spec/spectest"
)

// account decodes one dns block of the config repo.
func account(t *testing.T, trust spec.Trust, body string) (*spec.DNSAccount, string) {
	t.Helper()
	s, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte("dns \"x\" {\n" + body + "\n}\n")}}, trust)
	if s == nil {
		return nil, spectest.Text(diags)
	}
	return s.DNS["x"], spectest.Text(diags)
}

func TestEndpoints(t *testing.T) {
	pdns := func(url string) string {
		return "provider = \"pdns\"\ncredentials = {\n PDNS_API_URL = " + url + "\n PDNS_API_KEY = env(\"CERTROLL_DNS_KEY\")\n}"
	}
	for name, test := range map[string]struct {
		body   string
		allow  []string
		refuse string // "": accepted
	}{
		"no address":                     {`provider = "cloudflare"`, nil, ""},
		"an address":                     {pdns(`"http://attacker.example"`), nil, `trust { endpoints = ["attacker.example:80"] }`},
		"an allowed one":                 {pdns(`"https://pdns.example.com/api"`), []string{"pdns.example.com:443"}, ""},
		"an allowed one, another port":   {pdns(`"https://pdns.example.com:8443/api"`), []string{"pdns.example.com:443"}, `"pdns.example.com:8443"`},
		"by a pattern":                   {pdns(`"https://pdns.example.com:8443"`), []string{"*.example.com:*"}, ""},
		"a public address":               {pdns(`"https://9.9.9.9"`), nil, `"9.9.9.9:443"`},
		"a loopback address":             {pdns(`"http://[::1]:8200"`), nil, `"[::1]:8200"`},
		"an address of a range":          {pdns(`"http://10.1.2.3:8081"`), []string{"10.0.0.0/8:8081"}, ""},
		"octal":                          {pdns(`"http://0177.0.0.1"`), []string{"127.0.0.0/8:*"}, "Endpoint not allowed"},
		"a user in the URL":              {pdns(`"https://pdns.example.com@attacker.example"`), []string{"pdns.example.com:443"}, "Invalid address"},
		"a backslash":                    {pdns(`"https://attacker.example\\@pdns.example.com"`), []string{"pdns.example.com:443"}, "Invalid address"},
		"a fragment":                     {pdns(`"https://attacker.example#.pdns.example.com"`), []string{"*.pdns.example.com:443"}, "Invalid address"},
		"another scheme":                 {pdns(`"file:///etc/passwd"`), []string{"**:*"}, "Invalid address"},
		"a reference, nothing allowed":   {pdns(`env("CERTROLL_DNS_URL")`), nil, "trust.endpoints"},
		"a reference, checked later":     {pdns(`env("CERTROLL_DNS_URL")`), []string{"pdns.example.com:443"}, ""},
		"a name server":                  {`provider = "rfc2136"` + "\ncredentials = { RFC2136_NAMESERVER = \"ns.example.com\" }", nil, `"ns.example.com:53"`},
		"an IPv6 name server":            {`provider = "rfc2136"` + "\ncredentials = { DNSUPDATE_NAMESERVER = \"[2001:db8::1]:5353\" }", nil, `"[2001:db8::1]:5353"`},
		"a Kerberos realm":               {`provider = "rfc2136"` + "\ncredentials = { DNSUPDATE_TSIG_GSS_REALM = \"ATTACKER.EXAMPLE\" }", nil, `"attacker.example:88"`},
		"a resolver":                     {"provider = \"cloudflare\"\npropagation {\n nameservers = [\"10.0.0.1\"]\n}", nil, `"10.0.0.1:53"`},
		"an allowed resolver":            {"provider = \"cloudflare\"\npropagation {\n nameservers = [\"10.0.0.1\"]\n}", []string{"10.0.0.1:53"}, ""},
		"one of OVH's own":               {`provider = "ovh"` + "\ncredentials = { OVH_ENDPOINT = \"ovh-eu\" }", nil, ""},
		"one that OVH does not have":     {`provider = "ovh"` + "\ncredentials = { OVH_ENDPOINT = \"https://attacker.example\" }", nil, "Unknown value"},
		"a region":                       {`provider = "conoha"` + "\ncredentials = { CONOHA_REGION = \"tyo1\" }", nil, ""},
		"a region that is a host":        {`provider = "conoha"` + "\ncredentials = { CONOHA_REGION = \"attacker.example/\" }", nil, "becomes part of a host name"},
		"a port of its own":              {`provider = "infoblox"` + "\ncredentials = {\n INFOBLOX_HOST = \"ib.example.com\"\n INFOBLOX_PORT = \"8200\"\n}", []string{"ib.example.com:443"}, `"ib.example.com:8200"`},
		"the usual listener":             {"challenge = \"http-01\"\nlisten = \":80\"", nil, ""},
		"a listener for everybody":       {"challenge = \"http-01\"\nlisten = \"0.0.0.0:9464\"", nil, "Address not allowed"},
		"no key for route53":             {`provider = "route53"`, nil, "trust { ambient = true }"},
		"a key for route53":              {"provider = \"route53\"\ncredentials = {\n AWS_ACCESS_KEY_ID = \"AKIAEXAMPLE\"\n AWS_SECRET_ACCESS_KEY = env(\"CERTROLL_DNS_AWS\")\n}", nil, ""},
		"no key for gcloud":              {"provider = \"gcloud\"\ncredentials = { GCE_PROJECT = \"p\" }", nil, "Ambient credentials not allowed"},
		"az":                             {"provider = \"azuredns\"\ncredentials = { AZURE_AUTH_METHOD = \"cli\" }", nil, "AZURE_AUTH_METHOD uses an identity of the machine"},
		"no secret for azuredns":         {"provider = \"azuredns\"\ncredentials = { AZURE_TENANT_ID = \"t\" }", nil, "Ambient credentials not allowed"},
		"a role for alidns":              {"provider = \"alidns\"\ncredentials = { ALICLOUD_RAM_ROLE = \"r\" }", nil, "Ambient credentials not allowed"},
		"an instance principal":          {"provider = \"oraclecloud\"\ncredentials = { OCI_AUTH_TYPE = \"instance_principal\" }", nil, "OCI_AUTH_TYPE uses an identity of the machine"},
		"the pipeline's token elsewhere": {"provider = \"azuredns\"\ncredentials = { ACTIONS_ID_TOKEN_REQUEST_URL = \"https://attacker.example\" }", nil, `"attacker.example:443"`},
	} {
		t.Run(name, func(t *testing.T) {
			trust := spec.Trust{Known: true, Endpoints: spectest.Allowing(test.allow...)}
			a, said := account(t, trust, test.body)
			if (a == nil) != (test.refuse != "") || !strings.Contains(said, test.refuse) {
				t.Fatalf("taken: %v, want %q, it says:\n%s", a != nil, test.refuse, said)
			}
			if test.refuse == "" {
				return
			}
			// A block that was in force before is held, not rejected.
			trust.InForce = true
			if a, said = account(t, trust, test.body); a == nil || len(a.Held) == 0 {
				t.Fatalf("in force before it is not held:\n%s", said)
			}
			// A block in certroll.hcl may use any address. Without certroll.hcl nothing is rejected.
			trust = spec.Trust{Known: true, Files: []spec.File{{Path: "certroll.hcl", Bytes: []byte("dns \"x\" {\n" + test.body + "\n}\n")}}}
			if s, diags := Files(t.Context(), nil, trust); s == nil || !s.DNS["x"].Reach.Dials(netip.MustParseAddrPort("127.0.0.1:80")) {
				t.Errorf("in certroll.hcl it is refused:\n%s", spectest.Text(diags))
			}
		})
	}
}

func TestDirectoryIsAllowed(t *testing.T) {
	issuer := func(directory string) string {
		return "issuer \"x\" {\n directory = \"" + directory + "\"\n terms_of_service_agreed = true\n}\n"
	}
	for directory, allowed := range map[string]bool{
		"letsencrypt": true, "https://acme-v02.api.letsencrypt.org/directory": true, "https://ACME-V02.api.letsencrypt.org/other": true,
		"https://acme.example.com/dir": true, "https://acme.example.com:8443/dir": false, "https://attacker.example/dir": false,
		"https://acme-v02.api.letsencrypt.org.attacker.example/directory": false, "https://acme-v02.api.letsencrypt.org:8443/directory": false,
		"https://127.0.0.1:8200/v1/secret": false, "https://acme.zerossl.com.:443/x": false,
	} {
		trust := spec.Trust{Known: true, Endpoints: spectest.Allowing("acme.example.com:443")}
		s, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(issuer(directory))}}, trust)
		if (s != nil) != allowed {
			t.Errorf("%s: taken: %v\n%s", directory, s != nil, spectest.Text(diags))
		}
		if s != nil && s.Issuers["x"].Reach.Dials(netip.MustParseAddrPort("10.0.0.1:443")) {
			t.Errorf("%s may lead to a private address", directory)
		}
		if s, diags = Files(t.Context(), nil, spec.Trust{Known: true, Files: []spec.File{{Path: "certroll.hcl", Bytes: []byte(issuer(directory))}}}); s == nil {
			t.Errorf("%s is refused in certroll.hcl:\n%s", directory, spectest.Text(diags))
		}
		if s, diags = Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(issuer(directory))}}, spec.Trust{}); s == nil || len(diags) != 1 {
			t.Errorf("%s without certroll.hcl:\n%s", directory, spectest.Text(diags))
		}
	}
}

// TestHolds: a new rule does not reject a revision that was in force. Certificates that use the block are held, others
// continue, and allowing the address ends the hold.
func TestHolds(t *testing.T) {
	const files = `
issuer "le" {
  directory = "letsencrypt"
  terms_of_service_agreed = true
}
dns "pdns" {
  provider = "pdns"
  credentials = { PDNS_API_URL = "http://pdns.internal:8081" }
}
dns "cf" {
  provider = "cloudflare"
}
certificate "held" {
  domains = ["a.example.com"]
  issuer = issuer.le
  dns = [dns.cf, dns.pdns]
}
certificate "free" {
  domains = ["b.example.com"]
  issuer = issuer.le
  dns = dns.cf
}
`
	trust := spec.Trust{Known: true}
	_, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(files)}}, trust)
	if !spec.OnlyNewRules(diags) {
		t.Fatalf("a new revision says:\n%s", spectest.Text(diags))
	}
	if _, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(files + "nonsense {}\n")}}, trust); spec.OnlyNewRules(diags) {
		t.Error("a block that never was there is a new rule")
	}
	trust.InForce = true
	s, diags := Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(files)}}, trust)
	if s == nil {
		t.Fatalf("what was in force is rejected:\n%s", spectest.Text(diags))
	}
	holds := s.Holds()
	if len(holds) != 1 || strings.Join(holds[0].Certificates, " ") != "held" || holds[0].Subject != "dns.pdns" || holds[0].Everything() ||
		holds[0].Rule.Allow.Lines() != `trust { endpoints = ["pdns.internal:8081"] }` || !strings.HasPrefix(holds[0].Message, "a.hcl:8: Endpoint not allowed") {
		t.Errorf("held: %+v", holds)
	}
	if len(s.Certificate("free").Held) != 0 || len(s.DNS["pdns"].Held) != 1 || s.DNS["pdns"].Credentials["PDNS_API_URL"].Text == "" {
		t.Errorf("free %v, pdns %+v", s.Certificate("free").Held, s.DNS["pdns"])
	}
	trust.Endpoints = spectest.Allowing("pdns.internal:8081")
	if s, diags = Files(t.Context(), []spec.File{{Path: "a.hcl", Bytes: []byte(files)}}, trust); s == nil || len(s.Holds()) != 0 {
		t.Errorf("the allowance does not end it:\n%s", spectest.Text(diags))
	}
}

// TestCheckResolved: the address behind a reference is checked when the reference is resolved, and the error does not
// quote it.
func TestCheckResolved(t *testing.T) {
	const body = "provider = \"pdns\"\ncredentials = {\n PDNS_API_URL = env(\"CERTROLL_DNS_URL\")\n PDNS_API_KEY = env(\"CERTROLL_DNS_KEY\")\n}"
	a, said := account(t, spec.Trust{Known: true, Endpoints: spectest.Allowing("pdns.example.com:443")}, body)
	if a == nil {
		t.Fatal(said)
	}
	for url, refused := range map[string]string{
		"https://pdns.example.com": "", "https://attacker.example": "PDNS_API_URL", "s3cr3t\ntext": "PDNS_API_URL", "http://127.0.0.1:8200": "PDNS_API_URL",
	} {
		if got := a.CheckResolved(map[string]string{"PDNS_API_URL": url, "PDNS_API_KEY": "http://127.0.0.1"}); got != refused {
			t.Errorf("%s: refused %q, want %q", url, got, refused)
		}
	}
}

// TestCheckResolvedPort: a resolved port must be a port number. trust.endpoints must allow host and port together,
// whichever of the two is a reference.
func TestCheckResolvedPort(t *testing.T) {
	const secret = "\n INFOBLOX_USERNAME = env(\"CERTROLL_DNS_USER\")\n INFOBLOX_PASSWORD = env(\"CERTROLL_DNS_PASSWORD\")\n"
	const hostHere = "INFOBLOX_HOST = \"grid.example.com\"\n INFOBLOX_PORT = env(\"CERTROLL_DNS_PORT\")"
	const portHere = "INFOBLOX_HOST = env(\"CERTROLL_DNS_HOST\")\n INFOBLOX_PORT = \"8443\""
	for _, c := range []struct{ body, host, port, refused string }{
		{hostHere, "grid.example.com", "8443", ""},
		{hostHere, "grid.example.com", "443", ""},
		{hostHere, "grid.example.com", "9443", "INFOBLOX_PORT"},
		{hostHere, "grid.example.com", "https", "INFOBLOX_PORT"},
		{hostHere, "grid.example.com", "70000", "INFOBLOX_PORT"},
		{hostHere, "grid.example.com", "0443", "INFOBLOX_PORT"},
		{hostHere, "grid.example.com", "", "INFOBLOX_PORT"},
		{portHere, "grid.example.com", "8443", ""},
		{portHere, "other.example.com", "8443", "INFOBLOX_PORT"},
	} {
		a, said := account(t, spec.Trust{Known: true, Endpoints: spectest.Allowing("grid.example.com:443", "grid.example.com:8443", "other.example.com:443")},
			"provider = \"infoblox\"\ncredentials = {\n "+c.body+secret+"}")
		if a == nil {
			t.Fatal(said)
		}
		if got := a.CheckResolved(map[string]string{"INFOBLOX_HOST": c.host, "INFOBLOX_PORT": c.port, "INFOBLOX_USERNAME": "u", "INFOBLOX_PASSWORD": "p"}); got != c.refused {
			t.Errorf("%s:%s: refused %q, want %q", c.host, c.port, got, c.refused)
		}
	}
	if _, said := account(t, spec.Trust{Known: true, Endpoints: spectest.Allowing("grid.example.com:443")}, "provider = \"infoblox\"\ncredentials = {\n INFOBLOX_HOST = \"grid.example.com\"\n INFOBLOX_PORT = \"https\""+secret+"}"); !strings.Contains(said, "INFOBLOX_PORT is a port") {
		t.Errorf("a port that is none: %s", said)
	}
}
