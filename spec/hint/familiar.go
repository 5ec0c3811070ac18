package hint

import (
	"fmt"
	"slices"
	"strings"

	"certroll/spec/text"
)

// familiar maps, per block type, the settings of other tools (cert-manager, Certbot,
// lego, Caddy, Terraform) to certroll's. The names are in lower case, without underscores
// and hyphens.
var familiar = map[string][]alias{
	"certificate": append([]alias{
		{`domains = ["www.example.com"]`, "commonname cn san sans subjectaltname subjectaltnames subjectalternativename subjectalternativenames dnsname dnsnames altname altnames alternativenames name names domain domainname domainnames hostname hostnames host hosts ipaddress ipaddresses ipsans ips maindomain"},
		{`vault { path = "tls/www" }`, "secretname secret secretpath vaultpath path destination output target storage"},
		{`for_each = toset(["one", "two"])`, "count foreach repeat instances"},
		{`rotate = "2026-12-01 key leaked"`, "rekey forcerenewal forcerenew reissue triggers keepers"},
		{`probe = ["www.example.com:443"]`, "check checks endpoints endpoint monitor"},
	}, shared...),
	"defaults": shared,
	"key": {
		{`algorithm = "rsa"`, "type alg keytype keyalgorithm"},
		{`size = 3072`, "bits keysize rsabits length"},
		{`curve = "P-384"`, "ecdsacurve ellipticcurve"},
		{`rotation = "never"`, "rotationpolicy reuse reusekey rotate"},
	},
	"renewal": {
		{`auto = true`, "enabled enable automatic autorenew active"},
		{`threshold_days = 30`, "days before daysbefore renewbefore renewbeforedays mindaysremaining window"},
		{`threshold = "33%"`, "percent percentage renewbeforepercentage ratio"},
	},
	"vault": {
		{`path = "tls/www"`, "secret name secretname key"},
		{`mount = "secret"`, "engine kv backend mountpath"},
		{`fields = "kubernetes"`, "format keys data outputformat template"},
	},
	"issuer": {
		{`terms_of_service_agreed = true`, "agreetos accepttos tosagreed agreetotos termsofservice termsagreed acceptterms agreeterms agreetoterms agree tos"},
		{`email = "certs@example.com"`, "emailaddress mail contact contacts accountemail registrationemail"},
		{`directory = "letsencrypt"`, "server serverurl url acmeserver acmeurl acmedirectory directoryurl ca caserver caurl endpoint cadirurl acmeca"},
		{"eab {\n key_id = \"id\"\n hmac = vault(\"kv/eab\", \"hmac\")\n}", "externalaccountbinding externalaccount eabkid eabkeyid kid keyid eabhmac eabhmackey hmackey hmac"},
		{`ca_bundle = "-----BEGIN CERTIFICATE-----..."`, "cacert cacertificate cacertificates cafile capem rootca trustedroots roots"},
		{`preferred_chain = "ISRG Root X1"`, "chain alternatechain"},
		{`profile = "shortlived"`, "certificateprofile acmeprofile duration lifetime validity"},
		{"limits {}", "ratelimit ratelimits quota"},
	},
	"eab": {
		{`key_id = "id"`, "kid keyid eabkid"},
		{`hmac = vault("kv/eab", "hmac")`, "hmackey mackey hmacencoded hmacbase64 key secret"},
	},
	"dns": {
		{`provider = "cloudflare"`, "type name plugin dnsprovider dnsplugin solver"},
		{`challenge = "http-01"`, "method challengetype challenges preferredchallenges"},
		{`credentials = { CF_DNS_API_TOKEN = vault("kv/dns", "token") }`, "config configuration settings env environment variables secrets token apitoken apikey apitokensecretref credentialsfile options"},
		{`zones = ["example.com"]`, "zone domain domains hostedzone dnszones selector zoneid"},
		{"propagation {\n timeout = \"5m\"\n}", "propagationtimeout propagationseconds propagationdelay propagationwait delay timeout pollinginterval dnstimeout"},
		{"propagation {\n nameservers = [\"192.0.2.53\"]\n}", "resolvers resolver nameserver nameservers recursivenameservers dnsresolvers dnsservers"},
		{`parallel = 2`, "concurrency workers sequence"},
	},
	"propagation": {
		{`nameservers = ["192.0.2.53"]`, "resolvers resolver servers dnsservers"},
		{`wait = "30s"`, "delay sleep seconds propagationdelay"},
		{`interval = "5s"`, "poll pollinginterval"},
	},
	"policy": {
		{`files = ["teams/shop/**"]`, "file path paths glob globs directory dirs"},
		{`names = ["*.example.com"]`, "name domain domains alloweddomains zones permitted"},
		{`max_certificates = 10`, "max limit maximum quota maxcerts"},
		{`issuers = ["letsencrypt"]`, "issuer ca cas"},
		{`vault = ["secret/tls/shop/"]`, "secrets prefix vaultpath vaultpaths vaultprefix"},
	},

	"config repo": {
		{`certificate "www" {}`, "cert certs certificates tls"},
		{`issuer "letsencrypt" {}`, "ca issuers clusterissuer acme"},
		{`dns "main" {}`, "provider dnsprovider solver"},
		{`locals {}`, "local variable variables var vars"},
		{`defaults {}`, "default global globals common"},
	},

	// certroll.hcl: its top level, and its blocks
	"": {
		{`repo { url = "https://git.example.com/certs.git" }`, "git repository source configrepo url"},
		{`ledger { branch = "certroll/status" }`, "status audit auditlog statusbranch backend"},
		{`interval = "5m"`, "pollinterval syncinterval period every schedule refresh poll"},
		{`log { level = "info" }`, "loglevel logging verbosity verbose debug"},
		{`log { format = "json" }`, "logformat"},
		{`listen = "127.0.0.1:9464"`, "listenaddress metricsaddress metrics address addr bind port"},
		{`state_dir = "/var/lib/certroll"`, "datadir statedirectory storage cachedir workdir data dir"},
		{`parallel = 4`, "concurrency workers parallelism maxconcurrent"},
		{`policy "shop" { files = ["teams/shop/**"] }`, "policies rule rules team teams"},
		{`notify "ops" { service_env = "NOTIFY_URL" }`, "notification notifications alert alerts alerting slack"},
		{`trust { env = ["CERTROLL_DNS_"] }`, "allow allowed permissions"},
		{`verify { ssh_allowed_signers = "signers" }`, "signatures signing gpg"},
	},
	"repo": {
		{`ref = "main"`, "branch revision tag commit"},
		{`directory = "certs"`, "path dir subdirectory subdir folder"},
		{`url = "https://git.example.com/certs.git"`, "address uri remote repository"},
		{`auth { token_env = "GIT_TOKEN" }`, "token password tokenenv tokenfile username credentials sshkey sshkeyfile"},
	},
	"ledger": {
		{`branch = "certroll/status"`, "ref revision"},
		{`directory = "status"`, "path dir subdirectory subdir folder"},
		{`url = "https://git.example.com/certs.git"`, "address uri remote repository repo"},
		{`author_name = "certroll"`, "author name user"},
		{`author_email = "certroll@example.com"`, "email"},
	},
	"repo.auth":   gitLogin,
	"ledger.auth": gitLogin,
	"settings.vault": {
		{`address = "https://vault.example.com:8200"`, "url addr uri server vaultaddr endpoint host"},
		{`mount = "secret"`, "engine kv backend mountpath path kvmount secretengine"},
		{`ca_cert = "ca.pem"`, "cafile cabundle cacertfile cacertificate capath tlsca"},
		{`auth "token-file" { token_file = "token" }`, "token tokenfile"},
		{`auth "approle" { role_id = "id" }`, "approle roleid login secretid"},
		{`auth "kubernetes" { role = "certroll" }`, "kubernetes role"},
		{`tls_server_name = "vault.example.com"`, "servername sni"},
	},
	"vault.auth": {
		{`role_id = "id"`, "id"},
		{`secret_id_file = "secret-id"`, "secretid secret secretidpath"},
		{`mount = "approle"`, "path mountpath authpath"},
		{`token_file = "token"`, "token tokenpath"},
		{`jwt_file = "jwt"`, "jwt tokenjwt serviceaccounttoken"},
		{`role = "certroll"`, "rolename"},
	},
	"log": {
		{`level = "info"`, "verbosity severity loglevel"},
		{`format = "json"`, "output style encoding json logformat"},
	},
	"notify": {
		{`service_env = "NOTIFY_URL"`, "url service slack urlenv token email"},
		{`webhook = "https://hooks.example.com/certroll"`, "hook webhookurl endpoint"},
		{`on = ["failing"]`, "events kinds when types filter"},
		{`secret_env = "HOOK_SECRET"`, "secret hmac key"},
	},
	"trust": {
		{`env = ["CERTROLL_DNS_"]`, "environment variables envprefixes"},
		{`vault = ["secret/dns/"]`, "paths secrets prefixes vaultpaths"},
		{`endpoints = ["acme.example.com:443"]`, "hosts servers urls addresses"},
	},
	"verify": {
		{`ssh_allowed_signers = "signers"`, "allowedsigners allowedsignersfile sshsigners signers keys"},
		{`openpgp_keyring = "keys.asc"`, "gpg gpgkeyring keyring gpgkeys openpgp pgp"},
	},
}

// shared are the settings that certificate and defaults blocks have in common.
var shared = []alias{
	{`renewal { auto = true }`, "autorenew autorenewal renew autorotate"},
	{`renewal { auto = false }`, "enabled disabled paused pause suspend suspended disable"},
	{`renewal { threshold_days = 30 }`, "renewbefore renewbeforeexpiry renewbeforedays mindaysremaining renewaldays renewdays renewalwindow thresholddays renewalwindowratio"},
	{`key { algorithm = "rsa" }`, "keytype keyalgorithm keyalg privatekey algorithm"},
	{`key { size = 3072 }`, "keysize keybits rsabits rsakeysize bits"},
	{`key { curve = "P-384" }`, "curve keycurve ecdsacurve ellipticcurve"},
	{`key { rotation = "never" }`, "rotationpolicy keyrotation reusekey reuseprivatekey keyreuse"},
	{`issuer = issuer.letsencrypt`, "issuerref issuername clusterissuer ca certificateauthority acmeserver server provideracme"},
	{`dns = dns.main`, "dnsprovider dnschallenge dnsaccount solver solvers challenge provider validation validationmethod dns01"},
	{`vault { mount = "secret" }`, "mount vaultmount engine kvmount"},
	{`vault { fields = "kubernetes" }`, "fields format outputformat keystore keystores additionaloutputformats"},
	{`labels = { team = "shop" }`, "label tags annotations metadata"},
	{`on_remove = "revoke"`, "revokeondestroy ondelete ondestroy revoke revokeonremove deletionpolicy preventdestroy"},
}

var gitLogin = []alias{
	{`token_env = "GIT_TOKEN"`, "token password passwordenv accesstoken"},
	{`token_file = "git-token"`, "tokenpath passwordfile"},
	{`username = "certroll"`, "user login"},
	{`ssh_key_file = "git-key"`, "sshkey privatekey keyfile identity identityfile sshkeypath privatekeyfile deploykey key"},
	{`known_hosts_file = "known_hosts"`, "knownhosts hostkeys"},
	{`ssh_agent = true`, "agent"},
}

// alias is one setting of certroll, with its names in other tools.
type alias struct {
	write string // HCL
	names string // separated by spaces
}

// Familiar returns a sentence with certroll's form of another tool's setting; "" if the
// name is unknown. kind is a block type, "config repo" for the top level of the repo, or
// for certroll.hcl "", "repo", "settings.vault", "vault.auth" and so on.
func Familiar(kind, name string) string {
	if write := familiarAs(kind, name); write != "" {
		return fmt.Sprintf("%s is %s here.", text.Short(name), write)
	}
	return ""
}

func familiarAs(kind, name string) string {
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	for _, a := range familiar[kind] {
		if slices.Contains(strings.Fields(a.names), plain) {
			return strings.Join(strings.Fields(a.write), " ")
		}
	}
	return ""
}

// Suggest returns a suggestion for an unknown name in a block of a kind: a similar known
// name, or certroll's form of another tool's name, or "". A suggestion begins with a
// space.
func Suggest(kind, name string, known []string) string {
	near := Nearest(name, known)
	if write := familiarAs(kind, name); write != "" && (near == "" || !strings.HasPrefix(write, near)) {
		return " " + Familiar(kind, name)
	}
	if near != "" {
		return fmt.Sprintf(" Did you mean %s?", near)
	}
	return ""
}

// Meant returns the name of certroll's setting or block that Suggest suggests for an
// unknown name; "" for none.
func Meant(kind, name string, known []string) string {
	near := Nearest(name, known)
	if write := familiarAs(kind, name); write != "" && (near == "" || !strings.HasPrefix(write, near)) {
		first, _, _ := strings.Cut(write, " ")
		return first
	}
	return near
}

// FamiliarIn returns all names of other tools for a kind of block, with certroll's form.
func FamiliarIn(kind string) map[string]string {
	all := map[string]string{}
	for _, a := range familiar[kind] {
		for _, name := range strings.Fields(a.names) {
			all[name] = a.write
		}
	}
	return all
}

// MaxCandidates is the largest number of known names that Nearest searches.
const MaxCandidates = 500

// Nearest returns the known name closest to a mistyped one. It returns "" if none is
// close, or if there are more than MaxCandidates: comparing two names costs the product
// of their lengths.
func Nearest(name string, known []string) string {
	if len(known) > MaxCandidates {
		return ""
	}
	return text.Nearest(name, known)
}

// DidYouMean returns a question that suggests the closest known name, with a leading
// space; "" if none is close.
func DidYouMean(name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	return ""
}
