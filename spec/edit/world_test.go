package edit

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"

	"certroll/spec"
)

// strict is what the tests let the repo reach.
var strict = spec.Trust{Known: true, Vault: []string{"secret/dns/"}, Own: []string{"CERTROLL_DNS_OWN"}, Webroots: []string{"/var/www"}, Endpoints: allowing("acme.example.com:443", "127.0.0.0/8:*", "192.0.2.53:53", "[2001:db8::]/32:*")}

func allowing(hosts ...string) spec.ProbeRules {
	rules, why := spec.ParseProbeRules(hosts)
	if why != "" {
		panic(why)
	}
	return rules
}

const world = `
issuer "le" {
  directory                = "letsencrypt"
  terms_of_service_agreed  = true
}
dns "main" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = vault("secret/dns/cf", "token") }
}
dns "backup" {
  provider    = "cloudflare"
  credentials = { CF_DNS_API_TOKEN = env("CERTROLL_DNS_CF") }
}
`

// told renders diagnostics, each as place, summary and detail.
func told(diags hcl.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		fmt.Fprintf(&b, "%s\n\t%s\n", d, d.Detail)
	}
	return b.String()
}

// seeds are the files of the decoder's goldens.
func seeds(f *testing.F) {
	archives, err := filepath.Glob("../decode/testdata/mistakes/*.txtar")
	if err != nil || len(archives) == 0 {
		f.Fatal("no goldens", err)
	}
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if file.Name != "want" {
				f.Add(file.Data)
			}
		}
	}
	f.Add([]byte(world))
}

// soon ends the test where an input takes far longer than any may.
func soon(src []byte) (done func() bool) {
	return time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("still busy after 20 s with %q", src)) }).Stop
}
