package initialize

import (
	"fmt"
	"slices"
	"strings"
)

// Set sets the answer to a question, by the flag in Questions.
func (a *Answers) Set(flag, text string) error {
	text = strings.TrimSpace(text)
	if name, ok := strings.CutPrefix(flag, "dns-var "); ok {
		return a.DNS.Set(name + "=" + text)
	}
	if flag == "agree-tos" {
		a.CA.AgreeTOS = slices.Contains([]string{"y", "yes", "true"}, strings.ToLower(text))
		if !a.CA.AgreeTOS {
			return fmt.Errorf("agree to the CA's terms of service: without that the CA registers no account")
		}
		return nil
	}
	at := map[string]*string{
		"repo-url": &a.Repo.URL, "git-token-file": &a.Repo.TokenFile, "vault-address": &a.Vault.Address,
		"vault-jwt-env": &a.Vault.JWTEnv, "vault-token-file": &a.Vault.TokenFile, "ca": &a.CA.Directory,
		"eab-key-id": &a.CA.EABKeyID, "dns": &a.DNS.Provider, "domain": &a.Domain,
	}[flag]
	if at == nil {
		return fmt.Errorf("there is no question --%s", flag)
	}
	*at = text
	return nil
}

// Set parses NAME=VALUE for one of the provider's variables.
func (d *DNS) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || !variableName.MatchString(name) {
		return fmt.Errorf("--dns-var takes NAME=VALUE, with the NAME of one of the provider's variables")
	}
	if d.Variables == nil {
		d.Variables = map[string]string{}
	}
	d.Variables[name] = value
	return nil
}
