package providers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:generate sh -c "go run gen_providers.go > providers_table.new && mv providers_table.new providers_table.go"

// Provider is one of lego's DNS providers.
type Provider struct{ Code string }

// refusedProviders maps the providers that no dns block may use to the reason: they read
// files, run programs or wait for a person, or lego no longer supports them.
var refusedProviders = map[string]string{
	"exec":     "The provider exec runs a program on the reconciler's machine. Use the provider of your DNS service; for a service without one, httpreq may be allowed in certroll.hcl.",
	"manual":   "The provider manual waits for a person at a terminal. Use the provider of your DNS service.",
	"transip":  "The provider transip reads its key from a file of the reconciler's machine. Delegate the challenge by a CNAME at _acme-challenge to a zone elsewhere.",
	"hyperone": "The provider hyperone reads its credentials from a file of the reconciler's machine. Delegate the challenge by a CNAME at _acme-challenge to a zone elsewhere.",

	"azure":         "The provider azure is replaced by azuredns. Use that.",
	"cloudxns":      "The service behind the provider cloudxns has shut down. Use the provider that the zone is at now.",
	"googledomains": "The service behind the provider googledomains has shut down. Use the provider that the zone is at now.",
	"iwantmyname":   "The service behind the provider iwantmyname has shut down. Use the provider that the zone is at now.",
}

// Lookup finds a provider by one of its codes. It returns nil if there is none, and
// refusal if the provider must not be used.
func Lookup(code string) (p *Provider, refusal string) {
	if name, ok := providerAliases[code]; ok {
		code = name
	}
	if why := refusedProviders[code]; why != "" {
		return nil, why
	}
	if _, ok := providerTable[code]; !ok {
		return nil, ""
	}
	return &Provider{code}, ""
}

// Codes returns the codes of lego's DNS providers that a dns block may use, sorted,
// without aliases.
func Codes() []string {
	codes := slices.Sorted(maps.Keys(providerTable))
	return slices.DeleteFunc(codes, func(code string) bool { return refusedProviders[code] != "" })
}

// VariableNames returns the variables that a dns block may set.
func (p *Provider) VariableNames() []string {
	return slices.DeleteFunc(slices.Clone(providerTable[p.Code]), func(name string) bool { return refusedVariable(name) != "" })
}

// Variable reports whether the provider has a variable. refusal is the reason if a dns
// block must not set it.
func (p *Provider) Variable(name string) (refusal string, known bool) {
	if why := refusedVariable(name); why != "" {
		return why, false
	}
	return "", slices.Contains(providerTable[p.Code], name)
}

// fileVariables name a file, or a section of one, without the usual suffix _FILE or
// _PATH.
var fileVariables = []string{
	"AKAMAI_EDGERC", "AKAMAI_EDGERC_SECTION", "AWS_PROFILE", "AWS_SDK_LOAD_CONFIG", "GOOGLE_APPLICATION_CREDENTIALS",
	"HYPERONE_PASSPORT_LOCATION", "INFOBLOX_CA_CERTIFICATE", "KUBECONFIG", "OCI_PROFILE", "OS_CLOUD",
}

// processVariables affect the process that reads them: how it loads, where it connects,
// which certificates it trusts.
var processVariables = []string{"PATH", "HOME", "GODEBUG", "GOTRACEBACK", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR", "IFS", "ENV", "BASH_ENV", "REQUEST_METHOD"}

// refusedVariable returns the reason why the config repo must not set a variable of any
// provider; "" if it may.
func refusedVariable(name string) string {
	upper := strings.ToUpper(name)
	switch {
	case strings.HasSuffix(upper, "_PROXY"):
		return fmt.Sprintf("%s would send the provider's requests, credentials included, through another server.", name)
	case slices.Contains(processVariables, upper), hasAnyPrefix(upper, "LD_", "DYLD_", "LEGO_", "CERTROLL_", "VAULT_"):
		return fmt.Sprintf("%s changes the process and not the provider.", name)
	case strings.HasSuffix(upper, "_DEBUG"):
		return fmt.Sprintf("%s makes the provider print what it sends and receives, which can hold credentials.", name)
	case strings.HasSuffix(upper, "_FILE"), strings.HasSuffix(upper, "_PATH"), slices.Contains(fileVariables, upper):
		return fmt.Sprintf("%s names a file of the reconciler's machine, or a section of one, which no dns block may reach. Set the variable that takes the value itself, from vault() or env().", name)
	}
	return ""
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// Refused returns the providers that no dns block may use, with the reason, by code.
func Refused() map[string]string { return maps.Clone(refusedProviders) }
