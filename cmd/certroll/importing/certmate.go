package importing

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path"

	"certroll/spec"
)

// certmateMeta is CertMate's metadata of a certificate.
type certmateMeta struct {
	DNSProvider   string `json:"dns_provider"`
	AccountID     string `json:"account_id"`
	ChallengeType string `json:"challenge_type"`
	CAProvider    string `json:"ca_provider"`
	Email         string `json:"email"`
	Staging       bool   `json:"staging"`
	DomainAlias   string `json:"domain_alias"`
	AutoRenew     *bool  `json:"auto_renew"`
	KeyState      string `json:"private_key_state"`
}

// CertMate reads CertMate's certificates/DOMAIN/ with cert.pem, chain.pem,
// fullchain.pem, privkey.pem and metadata.json. It does not open data/settings.json,
// which has the DNS providers' credentials.
func CertMate(dir fs.FS) (*Findings, error) {
	at := "certificates"
	if !isDir(dir, at) {
		at = "."
	}
	list, err := entries(dir, at)
	if err != nil {
		return nil, err
	}
	all := &Findings{}
	for _, e := range list {
		base := path.Join(at, e.Name())
		if exists(dir, base+"/cert.pem") || exists(dir, base+"/fullchain.pem") {
			all.Certificates = append(all.Certificates, certmateOne(dir, base, e.Name()))
		}
	}
	if len(all.Certificates) == 0 {
		return nil, errors.New("it contains no certificates/DOMAIN/cert.pem: it is not the directory of CertMate, or CertMate stores its certificates elsewhere")
	}
	all.Notes = append(all.Notes,
		"CertMate's settings (renewal threshold, notifications, deploy hooks and targets, API tokens) are not read: they hold the credentials of DNS providers; see docs/renewal.md for what takes their place",
		accountNote("CertMate's certbot directories"), renewsNote("CertMate", "auto_renew of the domain"))
	return all, nil
}

func certmateOne(dir fs.FS, base, name string) *Found {
	f := &Found{Name: name, From: base}
	f.pair(dir, base+"/privkey.pem", base+"/fullchain.pem", base+"/cert.pem", base+"/chain.pem")
	var meta certmateMeta
	text, err := readIfThere(dir, base+"/metadata.json")
	switch {
	case err != nil || text == nil:
		f.note("there is no metadata.json beside it, so its settings are unknown")
		return f
	case json.Unmarshal(text, &meta) != nil:
		f.note("its metadata.json does not parse, so its settings are unknown")
		return f
	}
	f.Issuer.Email = meta.Email
	f.certmateIssuer(meta)
	f.certmateAccount(meta)
	if meta.AutoRenew != nil && !*meta.AutoRenew {
		f.Paused = true
		f.note("CertMate did not renew it (auto_renew is false): renewal.auto is false")
	}
	if meta.DomainAlias != "" {
		f.note("the domain alias needs no setting: certroll follows the CNAME at _acme-challenge; the DNS account must be able to write to the zone of its target")
	}
	return f
}

func (f *Found) certmateIssuer(meta certmateMeta) {
	name := meta.CAProvider
	if name == "" || name == "letsencrypt" {
		if name = "letsencrypt"; meta.Staging {
			name = "letsencrypt-staging"
		}
	}
	for _, ca := range knownCAs {
		if ca.name == name {
			f.Issuer.Directory = ca.url
			return
		}
	}
	f.note("certroll does not know the directory of CertMate's CA %q", name)
}

func (f *Found) certmateAccount(meta certmateMeta) {
	a := Account{Challenge: spec.Challenge(meta.ChallengeType), Login: meta.AccountID, Tool: "CertMate's " + meta.DNSProvider}
	switch a.Challenge {
	case spec.HTTP01, spec.TLSALPN01:
		a.Tool, a.Login = "CertMate's "+meta.ChallengeType, ""
		f.note("its challenge is %s: certroll answers on its own machine, which the CA must reach by these names", a.Challenge)
	default:
		a.Challenge, a.Provider = spec.DNS01, certmateProviders[meta.DNSProvider]
		if a.Provider == "" {
			a.Provider = certbotPlugins[meta.DNSProvider]
		}
		if meta.DNSProvider == "" {
			f.note("the challenge that the client used is unknown")
			return
		}
		if a.Provider == "" {
			f.note("certroll knows no DNS provider for CertMate's %q: name one, or delegate the challenge by a CNAME at _acme-challenge", meta.DNSProvider)
		}
	}
	f.Accounts = append(f.Accounts, a)
}
