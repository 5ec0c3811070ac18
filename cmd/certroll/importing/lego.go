package importing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"strings"
)

// Lego reads the directory of lego's command line, usually .lego: certificates/NAME.crt
// with .key, .issuer.crt and .json, and accounts/HOST/. Neither version 4 nor 5 stores
// the validation method.
func Lego(dir fs.FS) (*Findings, error) {
	at := "certificates"
	if !isDir(dir, at) {
		at = "."
	}
	files, err := entries(dir, at)
	if err != nil {
		return nil, err
	}
	all := &Findings{}
	for _, e := range files {
		name, ok := strings.CutSuffix(e.Name(), ".crt")
		if ok && name != "" && !strings.HasSuffix(name, ".issuer") {
			all.Certificates = append(all.Certificates, legoOne(dir, at, name))
		}
	}
	if len(all.Certificates) == 0 {
		return nil, errors.New("it contains no certificates/*.crt: it is not the directory of lego")
	}
	emails := legoEmails(dir)
	for _, f := range all.Certificates {
		u, err := url.Parse(f.Issuer.Directory)
		if err == nil && u.Host != "" {
			f.Issuer.Email = emails[strings.ReplaceAll(u.Host, ":", "_")]
		}
	}
	all.Notes = append(all.Notes, "lego does not store which DNS provider it used, nor its hooks and --days: they stand in whatever started it; see there")
	if exists(dir, "accounts") {
		all.Notes = append(all.Notes, accountNote("accounts/"))
	}
	all.Notes = append(all.Notes, renewsNote("lego", "the timer or cron job that starts it"))
	return all, nil
}

func legoOne(dir fs.FS, at, name string) *Found {
	base := path.Join(at, name)
	f := &Found{Name: name, From: base + ".crt"}
	f.pair(dir, base+".key", base+".crt", base+".issuer.crt")
	var meta struct {
		CertURL string `json:"certUrl"`
	}
	text, err := readIfThere(dir, base+".json")
	switch {
	case err != nil || text == nil:
		f.note("there is no %s.json, so its CA is unknown", base)
	case json.Unmarshal(text, &meta) != nil:
		f.note("%s.json does not parse, so its CA is unknown", base)
	default:
		f.legoDirectory(meta.CertURL)
	}
	return f
}

// legoDirectory finds the ACME directory by the host of the certificate's URL.
func (f *Found) legoDirectory(certURL string) {
	u, err := url.Parse(certURL)
	if err != nil || u.Host == "" {
		return
	}
	for _, ca := range knownCAs {
		if strings.HasPrefix(ca.url, "https://"+u.Host+"/") {
			f.Issuer.Directory = ca.url
			return
		}
	}
	f.Issuer.Directory = "https://" + u.Host + "/directory"
	f.note("import guessed the CA's directory %s from the certificate's URL: check it", f.Issuer.Directory)
}

// legoEmails returns the accounts' addresses by their server's directory:
// accounts/HOST/EMAIL/account.json; version 5 has another directory level for the key
// type.
func legoEmails(dir fs.FS) map[string]string {
	emails := map[string]string{}
	hosts, _ := entries(dir, "accounts")
	for _, host := range hosts {
		ids, _ := entries(dir, "accounts/"+host.Name())
		for _, id := range ids {
			var account struct {
				Email string `json:"email"`
			}
			at := fmt.Sprintf("accounts/%s/%s", host.Name(), id.Name())
			found := []string{at + "/account.json"}
			kinds, _ := entries(dir, at)
			for _, kind := range kinds {
				found = append(found, at+"/"+kind.Name()+"/account.json")
			}
			for _, file := range found {
				if text, err := readIfThere(dir, file); err == nil && json.Unmarshal(text, &account) == nil && account.Email != "" {
					emails[host.Name()] = account.Email
				}
			}
		}
	}
	return emails
}
