package dnschild

import (
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// queryTimeout bounds one query to a name server.
const queryTimeout = 5 * time.Second

// withServerWord adds the name server's TSIG error to an error of lego's rfc2136. A
// server that rejects a key answers NOTAUTH, with the reason in an unsigned TSIG record
// (RFC 8945 section 5.2). The DNS library reports only the missing signature, whether
// the secret is wrong, the key unknown or the clock off.
func withServerWord(err error, name string) error {
	if !errors.Is(err, dns.ErrSig) && !errors.Is(err, dns.ErrAuth) && !errors.Is(err, dns.ErrTime) {
		return err
	}
	server := updateSetting("NAMESERVER")
	if server == "" {
		return err
	}
	if _, _, splitErr := net.SplitHostPort(server); splitErr != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	word := tsigWord(server, name)
	if word == "" {
		return err
	}
	return errors.New(err.Error() + ": the name server " + server + " answers " + word)
}

// tsigWord sends the server a query with the same signature as the update. The server
// judges the signature first, so any query works.
func tsigWord(server, name string) string {
	key, algorithm := dns.CanonicalName(updateSetting("TSIG_KEY")), dns.HmacSHA1 // lego's default
	if a := updateSetting("TSIG_ALGORITHM"); a != "" {
		algorithm = dns.CanonicalName(a)
	}
	m := new(dns.Msg).SetQuestion(name, dns.TypeSOA)
	m.SetTsig(key, algorithm, 300, time.Now().Unix())
	c := &dns.Client{Timeout: queryTimeout, TsigSecret: map[string]string{key: updateSetting("TSIG_SECRET")}}
	r, _, _ := c.Exchange(m, server) // the error is the known one; r is set all the same
	if r == nil || r.Rcode == dns.RcodeSuccess {
		return ""
	}
	words := []string{dns.RcodeToString[r.Rcode]}
	if t := r.IsTsig(); t != nil && t.Error != dns.RcodeSuccess {
		words = append(words, dns.RcodeToString[int(t.Error)])
	}
	return strings.Join(words, ", ")
}

// updateSetting reads a variable of lego's rfc2136 from the environment, under either of
// the names that lego accepts.
func updateSetting(name string) string {
	if v := os.Getenv("DNSUPDATE_" + name); v != "" {
		return v
	}
	return os.Getenv("RFC2136_" + name)
}
