package dnschild

import (
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// queryTimeout bounds one question to a name server.
const queryTimeout = 5 * time.Second

// withServerWord adds to an error of lego's rfc2136 what the name server said
// of the TSIG key. A server that refuses a key answers NOTAUTH and gives the
// reason in a TSIG record without signature (RFC 8945 section 5.2); the DNS
// library stops at the missing signature and reports that instead, whether
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

// tsigWord asks the server a question that is signed as the update was. The
// server judges the signature before the question, so any will do.
func tsigWord(server, name string) string {
	key, algorithm := dns.CanonicalName(updateSetting("TSIG_KEY")), dns.HmacSHA1 // which is lego's default
	if a := updateSetting("TSIG_ALGORITHM"); a != "" {
		algorithm = dns.CanonicalName(a)
	}
	m := new(dns.Msg).SetQuestion(name, dns.TypeSOA)
	m.SetTsig(key, algorithm, 300, time.Now().Unix())
	c := &dns.Client{Timeout: queryTimeout, TsigSecret: map[string]string{key: updateSetting("TSIG_SECRET")}}
	r, _, _ := c.Exchange(m, server) // the error is the one at hand; the answer comes along with it
	if r == nil || r.Rcode == dns.RcodeSuccess {
		return ""
	}
	words := []string{dns.RcodeToString[r.Rcode]}
	if t := r.IsTsig(); t != nil && t.Error != dns.RcodeSuccess {
		words = append(words, dns.RcodeToString[int(t.Error)])
	}
	return strings.Join(words, ", ")
}

// updateSetting reads a variable of lego's rfc2136 from this child's
// environment, under either of the names that lego takes.
func updateSetting(name string) string {
	if v := os.Getenv("DNSUPDATE_" + name); v != "" {
		return v
	}
	return os.Getenv("RFC2136_" + name)
}
