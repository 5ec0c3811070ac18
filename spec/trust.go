package spec

// File is one file of the config repo.
type File struct {
	Path  string // relative to the config directory, with slashes
	Bytes []byte
}

// Trust limits what the files of the config repo may reach. It comes from the
// reconciler's own settings, never from the repo. The zero value is strict.
type Trust struct {
	// Known is true if the reconciler's settings are available. Without them (on a
	// laptop, in the CI of a fork) the decoder skips the limits and reports one warning.
	Known    bool
	Own      []string   // the reconciler's own variables, which env() never reads
	Env      []string   // prefixes of the names that env() may read; nil: CERTROLL_DNS_
	Vault    []string   // prefixes of the paths that vault() may read, as "secret/dns/"; nil: none
	HTTPReq  bool       // allows the DNS provider httpreq, which posts to any URL
	Webroots []string   // directories that may contain a webroot; nil: none
	Mount    string     // the KV v2 mount of certificates that state none; "": secret
	Probe    ProbeRules // allowed probe endpoints, besides a certificate's own names at public addresses
	State    string     // path of the reconciler's own state below any mount; "": certroll
	// Endpoints are the servers that issuer and dns blocks of the repo may name, besides
	// well-known CAs and the providers' own; nil: none.
	Endpoints ProbeRules
	Ambient   bool // dns blocks of the repo may use the machine's identities
	// CNAMEZones are zones that CNAMEs at _acme-challenge may lead into.
	CNAMEZones []string
	// InForce is set if the files were in force before, perhaps under an older certroll.
	// A NewRule then holds the certificates concerned and rejects nothing.
	InForce bool
	// Before are the files of the previous revision; nil if unknown. If two places
	// contradict each other, the decoder reports the one that is not in Before.
	Before []File
	// Files are the reconciler's own, certroll.hcl. Their issuer and dns blocks join
	// those of the repo, and their references are not limited. Their policy blocks limit
	// the files of the repo. The decoder ignores their other blocks.
	Files []File
}
