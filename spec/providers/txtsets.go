package providers

import (
	"strings"
)

// TXTEffect is the effect of a DNS provider on TXT records that certroll did not write,
// at a name where it answers a challenge.
type TXTEffect int

// The effects, worst first. The zero value applies to unknown providers.
const (
	// ReplacesTXT replaces all records at the name by its own.
	ReplacesTXT TXTEffect = iota
	// DeletesTXT adds its record, and removes others when it cleans up.
	DeletesTXT
	// MergesTXT reads the set and writes it back, with or without its value.
	MergesTXT
	// AddsTXT adds and removes only its own record, or uses a record or name of its own.
	AddsTXT
)

// Spares reports whether other records survive a challenge.
func (e TXTEffect) Spares() bool { return e == MergesTXT || e == AddsTXT }

// txtLists classifies the providers by hand, from Present and CleanUp in the source of
// lego v4.35.2. TestEveryProviderHasATXTEffect fails for a provider in none of the lists,
// and TestTXTEffectsAreLegos fails if the source contradicts a list.
//
// With most of these APIs, merging is no transaction: a record written by another client
// between the read and the write is lost. certroll cannot close this window.
var txtLists = map[TXTEffect]string{
	// The API has one value per name, or lego sends it the whole set. joker does so in
	// one of its modes. The APIs of dyndnsfree and myaddr are unknown, so certroll
	// assumes the worst.
	ReplacesTXT: `ddnss dode duckdns dyndnsfree freemyip joker mijnhost mittwald myaddr rcodezero sonic ultradns`,

	// CleanUp removes records by name: all TXT records, or the first. gandi restores the
	// zone as it was before the challenge. dnsexit's API may ignore the value.
	DeletesTXT: `alidns azuredns bindman bluecat bunny clouddns cloudns cloudru designate dnsexit dnsimple dnsmadeeasy dnspod dyn edgecenter
		f5xc gandi gandiv5 gcloud gcore huaweicloud ibmcloud namecheap namedotcom ns1 otc rackspace selectel stackpath tencentcloud
		vegadns versio vscale vultr`,

	MergesTXT: `artfiles azion beget checkdomain constellix desec edgedns eurodns godaddy hostinger iijdpf ionos keyhelp leaseweb
		manageengine netcup pdns rimuhosting route53 sakuracloud selectelv2 servercow uniteddomains vinyldns yandexcloud zonomi`,

	// acme-dns writes names that its server chooses. hurricane and selfhostde overwrite a
	// record that the operator created for the challenge, and never remove it. For
	// rfc2136, package dnschild replaces lego's updates.
	AddsTXT: `acme-dns active24 aliesa allinkl alwaysdata anexia arvancloud auroradns autodns axelname baiducloud binarylane bluecatv2
		bookmyname brandit civo cloudflare com35 conoha conohav3 corenetworks cpanel czechia derak digitalocean directadmin dnshomede
		domeneshop dreamhost dynu easydns edgeone efficientip epik excedo exoscale gigahostno glesys gravity hetzner hostingde hostingnl
		hosttech httpnet httpreq hurricane iij infoblox infomaniak internetbs inwx ionoscloud ipv64 ispconfig ispconfigddns jdcloud liara
		lightsail limacity linode liquidweb loopia luadns mailinabox metaname metaregistrar mydnsjp mythicbeasts namesilo namesurfer
		nearlyfreespeech neodigit netlify netnod nicmanager nicru nifcloud njalla nodion octenium onecloudru onlinenet oraclecloud ovh
		plesk porkbun rainyun regfish regru rfc2136 safedns scaleway selfhostde shellrent simply spaceship syse technitium timewebcloud
		todaynic ucloud variomedia vercel virtualname vkcloud volcengine webnames webnamesca websupport wedos westcn yandex yandex360
		zoneedit zoneee`,
}

// TXTEffectOf returns the effect of a provider on TXT records that certroll did not
// write.
func TXTEffectOf(code string) TXTEffect { return txtEffects[code] }

var txtEffects = effectsOf(txtLists)

func effectsOf(lists map[TXTEffect]string) map[string]TXTEffect {
	out := map[string]TXTEffect{}
	for effect, codes := range lists {
		for code := range strings.FieldsSeq(codes) {
			out[code] = effect
		}
	}
	return out
}
