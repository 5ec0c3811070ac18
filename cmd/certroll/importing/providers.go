package importing

// ca is a CA that the spec knows by a short name.
type ca struct {
	name, url string
	org       string // the organization in the subject of its issuing certificates
	eab       bool
}

// knownCAs are those of spec, which a test holds this table to. The first with
// an organization is the one that a certificate in Vault is taken to come from.
var knownCAs = []ca{
	{"letsencrypt", "https://acme-v02.api.letsencrypt.org/directory", "Let's Encrypt", false},
	{"letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory", "(STAGING) Let's Encrypt", false},
	{"zerossl", "https://acme.zerossl.com/v2/DV90", "ZeroSSL", true},
	{"google", "https://dv.acme-v02.api.pki.goog/directory", "Google Trust Services", true},
	{"google-staging", "https://dv.acme-v02.test-api.pki.goog/directory", "", true},
	{"sslcom-rsa", "https://acme.ssl.com/sslcom-dv-rsa", "SSL Corporation", true},
	{"sslcom-ecc", "https://acme.ssl.com/sslcom-dv-ecc", "", true},
}

// certbotPlugins are lego's codes by certbot's plugins, without "dns-":
// https://eff-certbot.readthedocs.io/en/stable/using.html#dns-plugins and the
// usual third-party ones.
var certbotPlugins = map[string]string{
	"cloudflare": "cloudflare", "digitalocean": "digitalocean", "dnsimple": "dnsimple", "dnsmadeeasy": "dnsmadeeasy",
	"google": "gcloud", "linode": "linode", "luadns": "luadns", "nsone": "ns1", "ovh": "ovh", "rfc2136": "rfc2136",
	"route53": "route53", "sakuracloud": "sakuracloud",
	"acmedns": "acme-dns", "aliyun": "alidns", "arvancloud": "arvancloud", "azure": "azuredns", "bunny": "bunny",
	"cloudns": "cloudns", "constellix": "constellix", "cpanel": "cpanel", "desec": "desec", "directadmin": "directadmin",
	"domeneshop": "domeneshop", "dreamhost": "dreamhost", "duckdns": "duckdns", "dynu": "dynu", "easydns": "easydns",
	"edgedns": "edgedns", "exoscale": "exoscale", "gandi": "gandiv5", "gcore": "gcore", "glesys": "glesys",
	"godaddy": "godaddy", "he": "hurricane", "hetzner": "hetzner", "hetzner-cloud": "hetzner", "hostinger": "hostinger",
	"hostingde": "hostingde", "infomaniak": "infomaniak", "inwx": "inwx", "ionos": "ionos", "ispconfig": "ispconfig",
	"joker": "joker", "leaseweb": "leaseweb", "loopia": "loopia", "mijn-host": "mijnhost", "mythicbeasts": "mythicbeasts",
	"namecheap": "namecheap", "netcup": "netcup", "njalla": "njalla", "oci": "oraclecloud", "porkbun": "porkbun",
	"powerdns": "pdns", "rackspace": "rackspace", "scaleway": "scaleway", "simply": "simply", "tencentcloud": "tencentcloud",
	"timeweb": "timewebcloud", "vultr": "vultr", "websupport": "websupport", "yandexcloud": "yandexcloud",
}

// acmeShHooks are lego's codes by acme.sh's scripts:
// https://github.com/acmesh-official/acme.sh/wiki/dnsapi
var acmeShHooks = map[string]string{
	"dns_acmedns": "acme-dns", "dns_active24": "active24", "dns_ali": "alidns", "dns_anx": "anexia", "dns_artfiles": "artfiles",
	"dns_arvan": "arvancloud", "dns_aurora": "auroradns", "dns_autodns": "autodns", "dns_aws": "route53", "dns_azion": "azion",
	"dns_azure": "azuredns", "dns_beget": "beget", "dns_bookmyname": "bookmyname", "dns_bunny": "bunny", "dns_cf": "cloudflare",
	"dns_cloudns": "cloudns", "dns_cn": "corenetworks", "dns_conoha": "conoha", "dns_constellix": "constellix", "dns_cpanel": "cpanel",
	"dns_czechia": "czechia", "dns_da": "directadmin", "dns_ddnss": "ddnss", "dns_desec": "desec", "dns_dgon": "digitalocean",
	"dns_dnsexit": "dnsexit", "dns_dnshome": "dnshomede", "dns_dnsimple": "dnsimple", "dns_domeneshop": "domeneshop",
	"dns_dreamhost": "dreamhost", "dns_duckdns": "duckdns", "dns_dyn": "dyn", "dns_dynu": "dynu", "dns_easydns": "easydns",
	"dns_edgecenter": "edgecenter", "dns_edgedns": "edgedns", "dns_efficientip": "efficientip", "dns_eurodns": "eurodns",
	"dns_exoscale": "exoscale", "dns_freemyip": "freemyip", "dns_gandi_livedns": "gandiv5", "dns_gcloud": "gcloud",
	"dns_gcore": "gcore", "dns_gd": "godaddy", "dns_he": "hurricane", "dns_hetzner": "hetzner", "dns_hetznercloud": "hetzner",
	"dns_huaweicloud": "huaweicloud", "dns_infoblox": "infoblox", "dns_infomaniak": "infomaniak",
	"dns_internetbs": "internetbs", //nolint:misspell // it is called so
	"dns_inwx":       "inwx", "dns_ionos": "ionos", "dns_ipv64": "ipv64", "dns_ispconfig": "ispconfig", "dns_joker": "joker",
	"dns_kas": "allinkl", "dns_leaseweb": "leaseweb", "dns_limacity": "limacity", "dns_linode_v4": "linode", "dns_loopia": "loopia",
	"dns_lua": "luadns", "dns_me": "dnsmadeeasy", "dns_miab": "mailinabox", "dns_mijnhost": "mijnhost", "dns_mydnsjp": "mydnsjp",
	"dns_mythic_beasts": "mythicbeasts", "dns_namecheap": "namecheap", "dns_namecom": "namedotcom", "dns_namesilo": "namesilo",
	"dns_netcup": "netcup", "dns_netlify": "netlify", "dns_nic": "nicru", "dns_njalla": "njalla", "dns_nm": "nicmanager",
	"dns_nsone": "ns1", "dns_nsupdate": "rfc2136", "dns_oci": "oraclecloud", "dns_online": "onlinenet",
	"dns_ovh": "ovh", "dns_pdns": "pdns", "dns_porkbun": "porkbun", "dns_rackspace": "rackspace", "dns_rcode0": "rcodezero",
	"dns_regru": "regru", "dns_scaleway": "scaleway", "dns_selectel": "selectel", "dns_selfhost": "selfhostde",
	"dns_servercow": "servercow", "dns_simply": "simply", "dns_technitium": "technitium", "dns_tencent": "tencentcloud",
	"dns_timeweb": "timewebcloud", "dns_udr": "uniteddomains", "dns_ultra": "ultradns", "dns_variomedia": "variomedia",
	"dns_vercel": "vercel", "dns_volcengine": "volcengine", "dns_vscale": "vscale", "dns_vultr": "vultr",
	"dns_websupport": "websupport", "dns_yandex": "yandex", "dns_yc": "yandexcloud", "dns_zone": "zoneee",
	"dns_zonomi": "zonomi",
}

// certmateProviders are those that CertMate names otherwise than certbot.
var certmateProviders = map[string]string{
	"acme-dns": "acme-dns", "dynudns": "dynu", "gandi": "gandiv5", "hurricane": "hurricane", "ns1": "ns1", "powerdns": "pdns",
}

// variables are what a provider needs as a rule, by lego's code. What others
// need stands at https://go-acme.github.io/lego/dns/.
var variables = map[string][]string{
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
