package importing

// ca is a CA that the spec knows by a short name.
type ca struct {
	name, url string
	org       string // the organization in the subject of its issuing certificates
	eab       bool
}

// knownCAs are the spec's CAs; a test compares the lists. A certificate in Vault is
// attributed to the first CA with its organization.
var knownCAs = []ca{
	{"letsencrypt", "https://acme-v02.api.letsencrypt.org/directory", "Let's Encrypt", false},
	{"letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory", "(STAGING) Let's Encrypt", false},
	{"zerossl", "https://acme.zerossl.com/v2/DV90", "ZeroSSL", true},
	{"google", "https://dv.acme-v02.api.pki.goog/directory", "Google Trust Services", true},
	{"google-staging", "https://dv.acme-v02.test-api.pki.goog/directory", "", true},
	{"sslcom-rsa", "https://acme.ssl.com/sslcom-dv-rsa", "SSL Corporation", true},
	{"sslcom-ecc", "https://acme.ssl.com/sslcom-dv-ecc", "", true},
}

// certbotPlugins maps certbot's plugins, without "dns-", to lego's codes:
// https://eff-certbot.readthedocs.io/en/stable/using.html#dns-plugins and common
// third-party plugins.
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

// acmeShHooks maps acme.sh's scripts to lego's codes:
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
	"dns_internetbs": "internetbs",
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

// certmateProviders maps the names in which CertMate differs from certbot.
var certmateProviders = map[string]string{
	"acme-dns": "acme-dns", "dynudns": "dynu", "gandi": "gandiv5", "hurricane": "hurricane", "ns1": "ns1", "powerdns": "pdns",
}
