package providers

import (
	"slices"
)

// Required returns the variables that a provider usually needs, in the order in which
// certroll prompts for them. It leaves out variables that a dns block may not set. It
// returns nil for an unknown provider. https://go-acme.github.io/lego/dns/ explains the
// variables.
func Required(code string) []string {
	if name, ok := providerAliases[code]; ok {
		code = name
	}
	names, ok := usual[code]
	if !ok {
		names = credentialTable[code]
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return refusedVariable(name) != "" })
}

// usual overrides the generated table for providers with several ways to log in, and for
// providers that check their variables outside of their constructor.
var usual = map[string][]string{
	"aliesa":       {"ALIESA_ACCESS_KEY", "ALIESA_SECRET_KEY"},
	"designate":    {"OS_AUTH_URL", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET", "OS_REGION_NAME"},
	"lightsail":    {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LIGHTSAIL_REGION", "DNS_ZONE"},
	"alidns":       {"ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY"},
	"arvancloud":   {"ARVANCLOUD_API_KEY"},
	"azuredns":     {"AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"},
	"bunny":        {"BUNNY_API_KEY"},
	"cloudflare":   {"CF_DNS_API_TOKEN"},
	"cloudns":      {"CLOUDNS_AUTH_ID", "CLOUDNS_AUTH_PASSWORD"},
	"constellix":   {"CONSTELLIX_API_KEY", "CONSTELLIX_SECRET_KEY"},
	"desec":        {"DESEC_TOKEN"},
	"digitalocean": {"DO_AUTH_TOKEN"},
	"dnsimple":     {"DNSIMPLE_OAUTH_TOKEN"},
	"dnsmadeeasy":  {"DNSMADEEASY_API_KEY", "DNSMADEEASY_API_SECRET"},
	"domeneshop":   {"DOMENESHOP_API_TOKEN", "DOMENESHOP_API_SECRET"},
	"dreamhost":    {"DREAMHOST_API_KEY"},
	"duckdns":      {"DUCKDNS_TOKEN"},
	"dynu":         {"DYNU_API_KEY"},
	"easydns":      {"EASYDNS_TOKEN", "EASYDNS_KEY"},
	"edgedns":      {"AKAMAI_HOST", "AKAMAI_CLIENT_TOKEN", "AKAMAI_CLIENT_SECRET", "AKAMAI_ACCESS_TOKEN"},
	"exoscale":     {"EXOSCALE_API_KEY", "EXOSCALE_API_SECRET"},
	"gandiv5":      {"GANDIV5_PERSONAL_ACCESS_TOKEN"},
	"gcloud":       {"GCE_PROJECT", "GCE_SERVICE_ACCOUNT"},
	"gcore":        {"GCORE_PERMANENT_API_TOKEN"},
	"glesys":       {"GLESYS_API_USER", "GLESYS_API_KEY"},
	"godaddy":      {"GODADDY_API_KEY", "GODADDY_API_SECRET"},
	"hetzner":      {"HETZNER_API_TOKEN"},
	"hostinger":    {"HOSTINGER_API_TOKEN"},
	"hurricane":    {"HURRICANE_TOKENS"},
	"infomaniak":   {"INFOMANIAK_ACCESS_TOKEN"},
	"inwx":         {"INWX_USERNAME", "INWX_PASSWORD"},
	"ionos":        {"IONOS_API_KEY"},
	"linode":       {"LINODE_TOKEN"},
	"loopia":       {"LOOPIA_API_USER", "LOOPIA_API_PASSWORD"},
	"luadns":       {"LUADNS_API_USERNAME", "LUADNS_API_TOKEN"},
	"mythicbeasts": {"MYTHICBEASTS_USERNAME", "MYTHICBEASTS_PASSWORD"},
	"namecheap":    {"NAMECHEAP_API_USER", "NAMECHEAP_API_KEY"},
	"namedotcom":   {"NAMECOM_USERNAME", "NAMECOM_API_TOKEN"},
	"namesilo":     {"NAMESILO_API_KEY"},
	"netcup":       {"NETCUP_CUSTOMER_NUMBER", "NETCUP_API_KEY", "NETCUP_API_PASSWORD"},
	"njalla":       {"NJALLA_TOKEN"},
	"ns1":          {"NS1_API_KEY"},
	"oraclecloud":  {"OCI_TENANCY_OCID", "OCI_USER_OCID", "OCI_FINGERPRINT", "OCI_PRIVATE_KEY", "OCI_REGION", "OCI_COMPARTMENT_OCID"},
	"ovh":          {"OVH_ENDPOINT", "OVH_APPLICATION_KEY", "OVH_APPLICATION_SECRET", "OVH_CONSUMER_KEY"},
	"pdns":         {"PDNS_API_URL", "PDNS_API_KEY"},
	"porkbun":      {"PORKBUN_API_KEY", "PORKBUN_SECRET_API_KEY"},
	"rackspace":    {"RACKSPACE_USER", "RACKSPACE_API_KEY"},
	"rfc2136":      {"RFC2136_NAMESERVER", "RFC2136_TSIG_KEY", "RFC2136_TSIG_ALGORITHM", "RFC2136_TSIG_SECRET"},
	"route53":      {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"},
	"sakuracloud":  {"SAKURACLOUD_ACCESS_TOKEN", "SAKURACLOUD_ACCESS_TOKEN_SECRET"},
	"scaleway":     {"SCW_SECRET_KEY", "SCW_PROJECT_ID"},
	"tencentcloud": {"TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"},
	"vultr":        {"VULTR_API_KEY"},
	"websupport":   {"WEBSUPPORT_API_KEY", "WEBSUPPORT_SECRET"},
}
