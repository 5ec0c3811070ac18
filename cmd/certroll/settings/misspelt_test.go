package settings

import (
	"strings"
	"testing"
)

// TestMisspeltIsOneMistake: a misspelt required setting is not also reported as missing.
func TestMisspeltIsOneMistake(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		"repo {\n  ulr = \"https://git.example.com/certs.git\"\n}\n":                          `Did you mean "url"?`,
		"repo {\n  remote = \"https://git.example.com/certs.git\"\n}\n":                       `url = "https://git.example.com/certs.git"`,
		"repo {\n  ref = \"main\"\n  ulr = \"x\"\n  auth {\n    username = \"u\"\n  }\n}\n":   `Did you mean "url"?`,
		"repo {\n  ref = \"main\"\n}\n":                                                       `The argument "url" is required`,
		"repo {\n  refs = \"main\"\n}\n":                                                      `The argument "url" is required`,
		"reop {\n  url = \"https://git.example.com/certs.git\"\n}\n":                          `Did you mean "repo"?`,
		"issuer \"a\" {\n  directry = \"letsencrypt\"\n  terms_of_service_agreed = true\n}\n": `Did you mean directory?`,
		"policy \"a\" {\n  fils = [\"**\"]\n}\n":                                              `Did you mean files?`,
		"notify \"a\" {\n  servce_env = \"NOTIFY_URL\"\n}\n":                                  `Did you mean "service_env"?`,
		"verify {\n  ssh_allowed_signer = \"signers\"\n}\n":                                   `Did you mean "ssh_allowed_signers"?`,
	} {
		_, _, diags := Parse("certroll.hcl", []byte(src))
		var said []string
		for _, d := range diags {
			said = append(said, d.Summary+": "+d.Detail)
		}
		most := 1
		if strings.Contains(src, "refs") {
			most = 2 // refs is taken for ref, so url is missing
		}
		if len(said) != most || !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("%s%d mistakes, want %d with %s:\n%s", src, len(said), most, want, strings.Join(said, "\n"))
		}
	}
}
