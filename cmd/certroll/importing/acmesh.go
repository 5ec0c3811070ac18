package importing

import (
	"errors"
	"io/fs"
	"net/url"
	"path"
	"strconv"
	"strings"

	"certroll/spec"
)

// AcmeSh reads acme.sh's home, usually ~/.acme.sh: a directory NAME or NAME_ecc per
// certificate, with NAME.conf, fullchain.cer, NAME.cer and NAME.key. It does not open
// account.conf, which has the DNS providers' credentials.
func AcmeSh(dir fs.FS) (*Findings, error) {
	list, err := entries(dir, ".")
	if err != nil {
		return nil, err
	}
	all := &Findings{}
	for _, e := range list {
		name := strings.TrimSuffix(e.Name(), "_ecc")
		if exists(dir, e.Name()+"/"+name+".conf") {
			all.Certificates = append(all.Certificates, acmeShOne(dir, e.Name(), name))
		}
	}
	if len(all.Certificates) == 0 {
		return nil, errors.New("it contains no NAME/NAME.conf: it is not the home of acme.sh, or --cert-home names another directory")
	}
	if exists(dir, "ca") {
		all.Notes = append(all.Notes, accountNote("ca/"))
	}
	all.Notes = append(all.Notes, renewsNote("acme.sh", "acme.sh --remove -d NAME, or its cron job"))
	return all, nil
}

func acmeShOne(dir fs.FS, at, name string) *Found {
	f := &Found{Name: at, From: at + "/" + name + ".conf"}
	text, err := read(dir, f.From)
	if err != nil {
		f.refuse("reading %s: %s", f.From, plain(err))
		return f
	}
	conf := parseShell(text)
	base := at + "/" + name
	f.pair(dir, base+".key", at+"/fullchain.cer", base+".cer", at+"/ca.cer")
	f.Issuer = Issuer{Directory: conf["Le_API"], PreferredChain: conf["Le_Preferred_Chain"], Profile: conf["Le_Certificate_Profile"]}
	f.Issuer.Email = acmeShEmail(dir, f.Issuer.Directory)
	f.acmeShAccounts(conf)
	f.acmeShSettings(conf)
	return f
}

// acmeShEmail reads an account's contact from ca.conf, and nothing else from that file.
func acmeShEmail(dir fs.FS, directory string) string {
	u, err := url.Parse(directory)
	if err != nil || u.Host == "" {
		return ""
	}
	for _, file := range []string{path.Join("ca", u.Host, u.Path, "ca.conf"), path.Join("ca", u.Host, "ca.conf")} {
		if !fs.ValidPath(file) {
			continue
		}
		if text, err := readIfThere(dir, file); err == nil && text != nil {
			return parseShell(text)["CA_EMAIL"]
		}
	}
	return ""
}

// acmeShAccounts reads Le_Webroot, the validation method of each name: one value for
// all, or one per name.
func (f *Found) acmeShAccounts(conf section) {
	ways := list(conf["Le_Webroot"])
	if len(ways) == 0 {
		f.note("the challenge that the client used is unknown")
	}
	seen := map[Account]bool{}
	for _, way := range ways {
		a, ok := f.acmeShAccount(way)
		if ok && !seen[a] {
			seen[a] = true
			f.Accounts = append(f.Accounts, a)
		}
	}
	if len(f.Accounts) > 1 {
		f.note("acme.sh used different challenges for different names; certroll tries the accounts of the list in order, each for all names")
	}
	if alias := conf["Le_ChallengeAlias"]; alias != "" && alias != "no" {
		f.note("the challenge alias needs no setting: certroll follows the CNAME at _acme-challenge; the DNS account must be able to write to the zone of its target")
	}
}

func (f *Found) acmeShAccount(way string) (a Account, ok bool) {
	a.Tool = "acme.sh's " + way
	switch {
	case strings.HasPrefix(way, "dns_"):
		a.Challenge, a.Provider = spec.DNS01, acmeShHooks[way]
		if a.Provider == "" {
			f.note("certroll knows no DNS provider for acme.sh's %s: name one, or delegate the challenge by a CNAME at _acme-challenge", way)
		}
		return a, true
	case way == "dns":
		f.note("acme.sh's manual DNS mode has no counterpart: name a DNS account")
		return a, false
	case way == "alpn":
		a.Challenge = spec.TLSALPN01
	case strings.HasPrefix(way, "/"):
		a.Challenge, a.Webroot = spec.HTTP01, way
	default: // "no" is standalone; also apache, nginx:FILE, stateless
		a.Challenge = spec.HTTP01
		if way == "no" {
			a.Tool = "acme.sh standing alone"
		}
	}
	f.note("its challenge is %s: certroll answers on its own machine, which the CA must reach by these names; a DNS account is simpler", a.Challenge)
	return a, true
}

func (f *Found) acmeShSettings(conf section) {
	if f.KeepsKey = conf["Le_ForceNewDomainKey"] != "1"; f.KeepsKey {
		f.note("acme.sh keeps the key at renewals by default, so key.rotation is \"never\"; remove it for a new key at each renewal, unless a client pins the key")
	}
	for _, hook := range []struct{ setting, what string }{
		{"Le_PreHook", "pre-hook"}, {"Le_PostHook", "post-hook"}, {"Le_RenewHook", "renew hook"},
		{"Le_DeployHook", "deploy hook"}, {"Le_ReloadCmd", "reload command"},
	} {
		if v := conf[hook.setting]; v != "" && v != "no" {
			f.note("its %s (%s in %s) is not imported, since certroll runs no commands: make the reader of the secret react to a new version", hook.what, hook.setting, f.From)
		}
	}
	for _, setting := range []string{"Le_RealCertPath", "Le_RealKeyPath", "Le_RealFullChainPath", "Le_RealCACertPath"} {
		if conf[setting] != "" {
			f.note("acme.sh copied it to files (%s): let Vault Agent or a similar program write these files from the secret", setting)
		}
	}
	if conf["Le_OCSP_Staple"] == "1" {
		f.note("must-staple is not imported: CAs no longer serve OCSP")
	}
	if days := conf["Le_RenewalDays"]; days != "" && f.leaf() != nil {
		f.acmeShThreshold(days)
	}
}

// acmeShThreshold converts days after issuance to days before expiry.
func (f *Found) acmeShThreshold(text string) {
	n, err := strconv.Atoi(text)
	life := int(f.leaf().NotAfter.Sub(f.leaf().NotBefore).Round(hour).Hours() / 24)
	if err != nil || n <= 0 || life-n < 1 || life-n > 397 {
		f.note("Le_RenewalDays = %q is not imported, since acme.sh counts from the issue: set renewal.threshold_days, or let the CA's suggestion (ARI) decide", text)
		return
	}
	f.ThresholdDays = life - n
	f.note("Le_RenewalDays = %d of %d days is renewal.threshold_days = %d; if you remove it, the CA's suggestion (ARI) decides", n, life, f.ThresholdDays)
}
