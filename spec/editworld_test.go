package spec

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"
)

// editStrict is what the tests let the repo reach.
var editStrict = Trust{Known: true, Vault: []string{"secret/dns/"}, Own: []string{"CERTROLL_DNS_OWN"}, Webroots: []string{"/var/www"}, Endpoints: editAllowing("acme.example.com:443", "127.0.0.0/8:*", "192.0.2.53:53", "[2001:db8::]/32:*")}

func editAllowing(hosts ...string) ProbeRules {
	rules, why := ParseProbeRules(hosts)
	if why != "" {
		panic(why)
	}
	return rules
}

const editWorld = `
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

// editTold renders diagnostics, each as place, summary and detail.
func editTold(diags hcl.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		fmt.Fprintf(&b, "%s\n\t%s\n", d, d.Detail)
	}
	return b.String()
}

// editSeeds are the files of the decoder's goldens.
func editSeeds(f *testing.F) {
	archives, err := filepath.Glob("testdata/mistakes/*.txtar")
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
	f.Add([]byte(editWorld))
}

// editSoon ends the test where an input takes far longer than any may.
func editSoon(src []byte) (done func() bool) {
	return time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("still busy after 20 s with %q", src)) }).Stop
}
