package providers

import (
	"strings"
)

// TXTEffect is what a DNS provider does to the TXT records that others have at a
// name where it answers a challenge.
type TXTEffect int

// The effects, worst first: a provider that is not known replaces.
const (
	// ReplacesTXT writes its record in the place of all that are there.
	ReplacesTXT TXTEffect = iota
	// DeletesTXT adds its record, and removes others with it when it cleans up.
	DeletesTXT
	// MergesTXT reads the set and writes it back, with its value or without.
	MergesTXT
	// AddsTXT adds and removes its own record, or has a record or a name that is
	// its own.
	AddsTXT
)

// Spares tells whether the records of others survive a challenge.
func (e TXTEffect) Spares() bool { return e == MergesTXT || e == AddsTXT }

// txtLists classify the providers by hand, from Present and CleanUp in the
// source of lego v4.35.2. TestEveryProviderHasATXTEffect fails for a provider
// that stands in none of the lists, TestTXTEffectsAreLegos where its source
// speaks against its list.
//
// Merging is no transaction with most of these APIs: what somebody else writes
// between the read and the write is lost. It is a moment, and nothing here can
// make it none.
var txtLists = map[TXTEffect]string{
	// The API has one value for a name, or lego hands it the whole set. joker
	// does so in one of its modes; of dyndnsfree and myaddr the API is not known.
	ReplacesTXT: `ddnss dode duckdns dyndnsfree freemyip joker mijnhost mittwald myaddr rcodezero sonic ultradns`,

	// CleanUp removes what has the name: all TXT records, or the first. gandi puts
	// the zone back as it was before; dnsexit's API may pass over the value.
	DeletesTXT: `alidns azuredns bindman bluecat bunny clouddns cloudns cloudru designate dnsexit dnsimple dnsmadeeasy dnspod dyn edgecenter
		f5xc gandi gandiv5 gcloud gcore huaweicloud ibmcloud namecheap namedotcom ns1 otc rackspace selectel stackpath tencentcloud
		vegadns versio vscale vultr`,

	MergesTXT: `artfiles azion beget checkdomain constellix desec edgedns eurodns godaddy hostinger iijdpf ionos keyhelp leaseweb
		manageengine netcup pdns rimuhosting route53 sakuracloud selectelv2 servercow uniteddomains vinyldns yandexcloud zonomi`,

	// acme-dns writes names that its server makes up; hurricane and selfhostde
	// overwrite a record that was made for it, and is never removed. rfc2136 is as
	// package dnschild has it.
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

// TXTEffectOf is what a provider does to the TXT records of others.
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
