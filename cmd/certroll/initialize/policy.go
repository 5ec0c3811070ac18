package initialize

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"certroll/examples"
)

// PolicyName is the name of certroll's policy in Vault.
const PolicyName = "certroll-apply"

// Policy returns certroll's policy, limited to the mount, the prefix and the secrets of
// these answers. Its source is examples/vault-policies/apply.hcl.
func (a *Answers) Policy() ([]byte, error) {
	source, err := examples.Files.ReadFile("vault-policies/apply.hcl")
	if err != nil {
		return nil, fmt.Errorf("reading the policy that certroll carries: %w", err)
	}
	mount := a.Vault.Mount + "/"
	below := slices.Sorted(maps.Keys(a.stored()))
	var out []string
	for _, paragraph := range strings.Split(strings.TrimSpace(string(source)), "\n\n") {
		if i := strings.Index(paragraph, "# Names: "); i >= 0 {
			paragraph = paragraph[:i] + fmt.Sprintf("# Names: the KV v2 mount %q, certroll's own state below %q.", a.Vault.Mount, a.Vault.Prefix)
		}
		if strings.Contains(paragraph, "/dns/*") {
			for i, path := range below {
				copied := strings.Replace(paragraph, "/dns/*", "/"+strings.TrimPrefix(path, mount), 1)
				if i > 0 { // the comment once
					copied = copied[strings.Index(copied, "path "):]
				}
				out = append(out, copied)
			}
			continue
		}
		out = append(out, strings.Replace(paragraph, "/certroll/*", "/"+a.Vault.Prefix+"/*", 1))
	}
	return []byte(strings.ReplaceAll(strings.Join(out, "\n\n"), `path "secret/`, `path "`+mount) + "\n"), nil
}

// PolicyFile is the name of Policy's file.
const PolicyFile = "vault-policy.hcl"

// Commands returns the commands for Vault's operator, in order.
func (a *Answers) Commands() []string {
	v := &a.Vault
	out := []string{
		fmt.Sprintf("vault secrets enable -path=%s -version=2 kv   # if there is no KV v2 at %[1]s/ yet", v.Mount),
		fmt.Sprintf("vault policy write %s %s", PolicyName, PolicyFile),
	}
	at := v.AuthMount
	fill(&at, v.Auth)
	switch v.Auth {
	case "approle":
		role := "auth/" + at + "/role/" + v.Role
		out = append(out,
			"vault auth enable -path="+at+" approle   # if there is none yet",
			"vault write "+role+" token_policies="+PolicyName+" token_ttl=1h",
			"vault write "+role+"/role-id role_id="+word(v.RoleID),
			"(umask 077; vault write -f -field=secret_id "+role+"/secret-id > "+word(v.SecretIDFile)+")")
	case "kubernetes":
		out = append(out, "vault write auth/"+at+"/role/"+v.Role+" bound_service_account_names=certroll bound_service_account_namespaces=certroll audience=vault token_policies="+PolicyName+" token_ttl=1h")
	case "jwt":
		out = append(out, "# the role "+v.Role+" of auth/"+at+": bind it to ids that nobody can rename in your CI or scheduler, as in examples/ci/README.md, with token_policies="+PolicyName)
	}
	return append(out, a.Storing(nil)...)
}

// Secrets returns the paths of the secrets that the answers refer to.
func (a *Answers) Secrets() []string { return slices.Sorted(maps.Keys(a.stored())) }

// Storing returns the commands that store the secrets, except those in Vault already. They
// read values from standard input or a file, so that no value enters a shell history.
func (a *Answers) Storing(inVault map[string]bool) []string {
	var out []string
	stored := a.stored()
	for _, path := range a.Secrets() {
		if inVault[path] {
			continue
		}
		fields := slices.Compact(slices.Sorted(slices.Values(stored[path])))
		if len(fields) == 1 {
			out = append(out, fmt.Sprintf("vault kv put %s %s=-   # type the value, then Ctrl-D twice; no line break at its end", path, word(fields[0])))
			continue
		}
		command := "vault kv put " + path
		for _, field := range fields {
			command += " " + word(field) + "=@" + strings.ToLower(field)
		}
		out = append(out, command+"   # from files of these names, without a line break at their ends")
	}
	return out
}

// word quotes a text for a shell if needed.
func word(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,=", r)
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
