package spec

// File is one file of the config repo.
type File struct {
	Path  string // relative to the config directory, with slashes
	Bytes []byte
}

// Trust says what the files of the config repo may reach. It comes from the
// reconciler's own settings, never from the repo. The zero value is strict.
type Trust struct {
	// Known is whether those settings are at hand. Without them (a laptop, the
	// CI of a fork) the limits are not checked, and one warning says so.
	Known    bool
	Own      []string   // the reconciler's own variables, which env() never reaches
	Env      []string   // prefixes of names that env() may reach; nil: CERTROLL_DNS_
	Vault    []string   // prefixes of paths that vault() may reach, as "secret/dns/"; nil: none
	HTTPReq  bool       // whether the DNS provider httpreq, which posts anywhere, may be used
	Webroots []string   // directories that a webroot may lie in; nil: none
	Mount    string     // the KV v2 mount of certificates that name none; "": secret
	Probe    ProbeRules // where the endpoints of certificates may be, besides their own names at public addresses
	State    string     // the path of the reconciler's own state below any mount; "": certroll
	// Endpoints are the servers that issuer and dns blocks of the repo may name
	// besides well-known CAs and providers' own; nil: none.
	Endpoints ProbeRules
	Ambient   bool // whether dns blocks of the repo may use the machine's identities
	// CNAMEZones are zones that CNAMEs at _acme-challenge may lead into.
	CNAMEZones []string
	// InForce says that the files were in force before, perhaps under an earlier
	// certroll: a NewRule then holds the certificates concerned and rejects nothing.
	InForce bool
	// Before are the files that these are a change of; nil: not known. Of two places that
	// cannot both stand, the mistake is told at the one that was not there before.
	Before []File
	// Files are the reconciler's own, whose issuer and dns blocks join those of
	// the repo. Their references are not limited. Their policy blocks say what
	// files of the repo may ask for; other blocks are left alone.
	Files []File
}
