package daemon

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"certroll/cmd/certroll/settings"
)

// guard admits requests for a known host name that, if certroll.hcl has a token, carry
// the token.
type guard struct {
	settings *settings.Settings
	loopback bool // only this machine can reach the address
	log      *slog.Logger
	next     http.Handler
}

// ServeHTTP passes an admitted request on.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.knows(r.Host) {
		g.log.Warn("rejected a request: its host name is not in listen_hosts", "host", r.Host, "from", r.RemoteAddr)
		http.Error(w, "certroll does not serve this host name: add it to listen_hosts in certroll.hcl", http.StatusMisdirectedRequest)
		return
	}
	token, err := g.settings.ListenToken()
	said, tried := tokenOf(r)
	switch {
	case err != nil:
		g.log.Error("rejected a request: the token in listen_token_file or listen_token_env cannot be read", "path", r.URL.Path, "error", err)
		http.Error(w, "certroll cannot read its token for requests; see the log", http.StatusServiceUnavailable)
	case token != "" && !sameSecret(said, token):
		if tried { // a browser's first request has none
			g.log.Warn("rejected a request: missing or wrong token", "path", r.URL.Path, "from", r.RemoteAddr)
		}
		w.Header().Add("WWW-Authenticate", `Basic realm="certroll", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", "Bearer")
		http.Error(w, "give the token as Authorization: Bearer, or as the password with any user name", http.StatusUnauthorized)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// tokenOf returns a request's token, and whether the request has credentials at all.
func tokenOf(r *http.Request) (token string, tried bool) {
	if _, password, ok := r.BasicAuth(); ok {
		return password, true
	}
	header := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", header != ""
	}
	return strings.TrimSpace(token), true
}

// knows reports whether a request may be for this host. Any web page can make its own
// name resolve to 127.0.0.1, and then read from this machine's browser what certroll
// serves on loopback (DNS rebinding). Such a page cannot use an address as the host
// name, so addresses pass. On an address that other machines reach, the check applies
// only with listen_hosts.
func (g *guard) knows(host string) bool {
	if !g.loopback && len(g.settings.ListenHosts) == 0 {
		return true
	}
	name := strings.TrimSuffix(hostOf(host), ".")
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	same := func(known string) bool { return strings.EqualFold(known, name) }
	return same("localhost") || same(hostOf(g.settings.ListenAddress())) || slices.ContainsFunc(g.settings.ListenHosts, same)
}

// hostOf returns the host of a host:port whose port may be missing.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
