//go:build labproviders

package main

import (
	"github.com/go-acme/lego/v4/providers/dns/acmedns"
	"github.com/go-acme/lego/v4/providers/dns/cloudflare"
	"github.com/go-acme/lego/v4/providers/dns/dnsimple"
	"github.com/go-acme/lego/v4/providers/dns/duckdns"
	"github.com/go-acme/lego/v4/providers/dns/httpreq"
	"github.com/go-acme/lego/v4/providers/dns/hurricane"
	"github.com/go-acme/lego/v4/providers/dns/pdns"
	"github.com/go-acme/lego/v4/providers/dns/rfc2136"
)

// providers are the few that `make demo` and `make test` use. The full list compiles a
// thousand packages more, which takes three of the four minutes that a demo from empty
// caches may take. No release has this build tag.
var providers = map[string]maker{
	"acme-dns":   by(acmedns.NewDNSProvider),
	"cloudflare": by(cloudflare.NewDNSProvider),
	"dnsimple":   by(dnsimple.NewDNSProvider),
	"dnsupdate":  by(rfc2136.NewDNSProvider),
	"duckdns":    by(duckdns.NewDNSProvider),
	"httpreq":    by(httpreq.NewDNSProvider),
	"hurricane":  by(hurricane.NewDNSProvider),
	"pdns":       by(pdns.NewDNSProvider),
	"rfc2136":    by(rfc2136.NewDNSProvider),
}
