package importing

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"certroll/spec"
)

// Certbot reads certbot's directory, usually /etc/letsencrypt: renewal/NAME.conf with
// the settings, and live/NAME/ with links to the newest files of archive/NAME/.
// https://eff-certbot.readthedocs.io/en/stable/using.html#where-are-my-certificates
func Certbot(dir fs.FS) (*Findings, error) {
	confs, err := entries(dir, "renewal")
	if err != nil {
		return nil, err
	}
	all := &Findings{}
	known := map[string]bool{}
	for _, e := range confs {
		if name, ok := strings.CutSuffix(e.Name(), ".conf"); ok && name != "" {
			known[name] = true
			all.Certificates = append(all.Certificates, certbotOne(dir, name))
		}
	}
	live, err := entries(dir, "live")
	if err != nil {
		return nil, err
	}
	for _, e := range live {
		if name := e.Name(); !known[name] && isDir(dir, "live/"+name) {
			f := &Found{Name: name, From: "live/" + name}
			f.note("certbot has no renewal/%s.conf, so its settings are unknown", name)
			f.certbotPair(dir, section{})
			all.Certificates = append(all.Certificates, f)
		}
	}
	if len(confs)+len(live) == 0 {
		return nil, fmt.Errorf("it contains neither renewal/ nor live/: it is not the directory of certbot, or this user cannot read it")
	}
	all.certbotNotes(dir)
	return all, nil
}

func (all *Findings) certbotNotes(dir fs.FS) {
	for _, kind := range []string{"pre", "deploy", "post"} {
		if hooks, err := entries(dir, "renewal-hooks/"+kind); err == nil && len(hooks) > 0 {
			all.Notes = append(all.Notes, fmt.Sprintf("renewal-hooks/%s holds %d script(s) that certbot ran for every certificate; certroll runs none: let what reads the secret react to its new version", kind, len(hooks)))
		}
	}
	if exists(dir, "cli.ini") {
		all.Notes = append(all.Notes, "cli.ini sets defaults for all of certbot; it was not read")
	}
	if exists(dir, "accounts") {
		all.Notes = append(all.Notes, accountNote("accounts/"))
	}
	all.Notes = append(all.Notes, renewsNote("certbot", "its timer or cron job, or certbot delete"))
}

// renewsNote asks the user to stop the other client's renewals.
func renewsNote(tool, how string) string {
	return tool + " continues to renew its own files: turn that off (" + how + ") once nothing reads those files"
}

// accountNote explains why ACME accounts are not imported.
func accountNote(where string) string {
	return "the ACME account keys in " + where + " are not imported: another program may still use them, and certificates do not depend on them. certroll registers its own account for each issuer at the first renewal"
}

func certbotOne(dir fs.FS, name string) *Found {
	file := "renewal/" + name + ".conf"
	f := &Found{Name: name, From: file}
	text, err := read(dir, file)
	if err != nil {
		f.refuse("reading %s: %s", file, plain(err))
		return f
	}
	conf := parseINI(text)
	top, params := conf[""], conf["renewalparams"]
	if params == nil {
		params = section{}
		f.note("%s has no [renewalparams], so its settings are unknown", file)
	}
	f.certbotPair(dir, top)
	f.Issuer = certbotIssuer(dir, params)
	f.certbotAccount(params, conf["webroot_map"])
	f.certbotSettings(top, params)
	return f
}

// certbotPair reads the pair through the links of live/. If a copy of the directory lost
// them, it reads the newest pair of the archive.
func (f *Found) certbotPair(dir fs.FS, top section) {
	lineage := f.Name
	if p := top["fullchain"]; p != "" {
		lineage = path.Base(path.Dir(p))
	}
	live := "live/" + lineage + "/"
	if exists(dir, live+"fullchain.pem") || exists(dir, live+"cert.pem") {
		f.pair(dir, live+"privkey.pem", live+"fullchain.pem", live+"cert.pem", live+"chain.pem")
		return
	}
	archive := "archive/" + lineage
	if p := top["archive_dir"]; p != "" {
		archive = "archive/" + path.Base(p)
	}
	n := newest(dir, archive)
	if n == 0 {
		f.refuse("there is neither %sfullchain.pem nor a numbered one in %s", live, archive)
		return
	}
	f.note("the links in %s are broken; import used the newest version in %s, number %d", strings.TrimSuffix(live, "/"), archive, n)
	f.pair(dir, fmt.Sprintf("%s/privkey%d.pem", archive, n), fmt.Sprintf("%s/fullchain%d.pem", archive, n))
}

// newest returns the highest number of a fullchain in an archive; 0 if there is none.
func newest(dir fs.FS, archive string) int {
	list, err := entries(dir, archive)
	if err != nil {
		return 0
	}
	highest := 0
	for _, e := range list {
		number, ok := strings.CutSuffix(strings.TrimPrefix(e.Name(), "fullchain"), ".pem")
		if n, err := strconv.Atoi(number); ok && err == nil {
			highest = max(highest, n)
		}
	}
	return highest
}

func certbotIssuer(dir fs.FS, params section) Issuer {
	i := Issuer{Directory: params["server"]}
	if params.set("preferred_chain") {
		i.PreferredChain = params["preferred_chain"]
	}
	for _, name := range []string{"preferred_profile", "required_profile"} {
		if params.set(name) {
			i.Profile = params[name]
		}
	}
	u, err := url.Parse(i.Directory)
	if err != nil || u.Host == "" || !params.set("account") {
		return i
	}
	file := path.Join("accounts", u.Host, u.Path, path.Base(params["account"]), "regr.json")
	var reg struct {
		Body struct {
			Contact []string `json:"contact"`
		} `json:"body"`
	}
	if text, err := readIfThere(dir, file); err == nil && json.Unmarshal(text, &reg) == nil {
		i.Email = firstMail(reg.Body.Contact)
	}
	return i
}

func firstMail(contacts []string) string {
	for _, c := range contacts {
		if mail, ok := strings.CutPrefix(c, "mailto:"); ok {
			return mail
		}
	}
	return ""
}

// certbotAccount reads the validation method.
func (f *Found) certbotAccount(params, webroots section) {
	auth := params["authenticator"]
	auth = auth[strings.LastIndexByte(auth, ':')+1:] // old versions of certbot wrote "plugin:authenticator"
	a := Account{Tool: "certbot's authenticator " + auth}
	switch auth {
	case "":
		f.note("the challenge that the client used is unknown")
		return
	case "webroot":
		a.Challenge, a.Webroot = spec.HTTP01, certbotWebroot(params, webroots)
		f.Accounts = append(f.Accounts, a)
		f.note("its challenge is http-01 by files in %s: certroll answers on its own machine. Make the web server proxy /.well-known/acme-challenge/ to it, or allow the directory in trust.webroots; a DNS account is simpler", a.Webroot)
		return
	case "standalone", "nginx", "apache":
		a.Challenge = spec.HTTP01
		if slices.Contains(list(params["pref_challs"]), "tls-alpn-01") {
			a.Challenge = spec.TLSALPN01
		}
		f.Accounts = append(f.Accounts, a)
		f.note("its challenge is %s by certbot's %s: certroll answers on its own machine, which the CA must reach by these names; a DNS account is simpler", a.Challenge, auth)
		return
	case "manual":
		f.note("certbot's manual authenticator (scripts, or a person) has no counterpart: name a DNS account")
		return
	}
	plugin := strings.TrimPrefix(auth, "dns-")
	a.Challenge, a.Login = spec.DNS01, params[strings.ReplaceAll(auth, "-", "_")+"_credentials"]
	a.Provider = certbotPlugins[plugin]
	f.Accounts = append(f.Accounts, a)
	if a.Provider == "" {
		f.note("certroll knows no DNS provider for certbot's authenticator %s: name one, or delegate the challenge by a CNAME at _acme-challenge", auth)
	}
}

func certbotWebroot(params, webroots section) string {
	for _, name := range slices.Sorted(maps.Keys(webroots)) {
		return webroots[name]
	}
	if dirs := list(params["webroot_path"]); len(dirs) > 0 {
		return dirs[0]
	}
	return "its webroot"
}

// certbotSettings imports the other settings, or notes why it cannot.
func (f *Found) certbotSettings(top, params section) {
	if f.KeepsKey = params.on("reuse_key"); f.KeepsKey {
		f.note("certbot kept the key at renewals (reuse_key): key.rotation is \"never\"")
	}
	if f.Paused = params.off("autorenew"); f.Paused {
		f.note("certbot did not renew it (autorenew = False): renewal.auto is false")
	}
	if params.on("must_staple") {
		f.note("must_staple is not imported: CAs no longer serve OCSP")
	}
	for _, hook := range []string{"pre_hook", "post_hook", "renew_hook", "deploy_hook"} {
		if params.set(hook) {
			f.note("its %s in %s is a command, and certroll runs no commands: make the reader of the secret react to a new version", hook, f.From)
		}
	}
	if params.set("installer") {
		f.note("certbot's installer %s installed the certificate in a server: make that server read the secret instead", params["installer"])
	}
	if text := top["renew_before_expiry"]; text != "" {
		f.threshold(text)
	}
}

// threshold converts certbot's "30 days".
func (f *Found) threshold(text string) {
	words := strings.Fields(text)
	if len(words) == 2 {
		n, err := strconv.Atoi(words[0])
		unit := map[string]int{"day": 1, "week": 7, "month": 30}[strings.TrimSuffix(words[1], "s")]
		if err == nil && n > 0 && unit > 0 && n*unit <= 397 {
			f.ThresholdDays = n * unit
			f.note("renew_before_expiry = %s is renewal.threshold_days = %d; if you remove it, the CA's suggestion (ARI) decides", text, f.ThresholdDays)
			return
		}
	}
	f.note("renew_before_expiry = %q is not imported: set renewal.threshold_days, or let the CA's suggestion (ARI) decide", text)
}
