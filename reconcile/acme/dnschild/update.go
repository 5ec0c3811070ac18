package dnschild

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-acme/lego/v4/challenge"
	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/miekg/dns"
)

// setUpdater is the method set by which certroll knows lego's rfc2136.
type setUpdater interface {
	challenge.ProviderTimeout
	Sequential() time.Duration
}

// RecordUpdates makes lego's rfc2136 write one record and leave others at the name
// alone. lego's Present first deletes the whole TXT set (RFC 2136 section 2.5.2),
// including another client's answer or an SPF record at a CNAME's target. Its CleanUp
// already deletes a single record by value (section 2.5.4).
//
// Only lego can negotiate a GSS-TSIG key, so such an account still replaces the set.
func RecordUpdates(p challenge.Provider) challenge.Provider {
	lego, ok := p.(setUpdater)
	if !ok || strings.HasPrefix(strings.ToLower(updateSetting("TSIG_ALGORITHM")), "gss-tsig") {
		return p
	}
	return &recordUpdater{lego}
}

// recordUpdater hides lego's Sequential: several answers at one name can stand together.
type recordUpdater struct{ challenge.ProviderTimeout }

// Present adds the TXT record of a challenge.
func (u *recordUpdater) Present(domain, _, keyAuth string) error {
	info := dns01.GetChallengeInfo(domain, keyAuth)
	server := updateServer()
	zone, err := updateZone(info.EffectiveFQDN, server)
	if err != nil {
		return fmt.Errorf("dnsupdate: failed to insert: %w", err)
	}
	m := new(dns.Msg).SetUpdate(zone)
	// An insert adds to the set (RFC 2136 section 2.5.1).
	m.Insert([]dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: info.EffectiveFQDN, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: updateTTL()},
		Txt: []string{info.Value},
	}})
	if err := sendUpdate(m, server); err != nil {
		return fmt.Errorf("dnsupdate: failed to insert: DNS update failed: %w", err)
	}
	return nil
}

// sendUpdate sends a dynamic update (RFC 2136), signed if the account has a TSIG key
// (RFC 8945).
func sendUpdate(m *dns.Msg, server string) error {
	c := &dns.Client{Timeout: updateTimeout()}
	key, secret := updateSetting("TSIG_KEY"), updateSetting("TSIG_SECRET")
	if key != "" && secret != "" {
		algorithm := dns.HmacSHA1 // lego's default
		if a := updateSetting("TSIG_ALGORITHM"); a != "" {
			algorithm = dns.CanonicalName(a)
		}
		key = dns.CanonicalName(key)
		m.SetTsig(key, algorithm, 300, time.Now().Unix())
		c.TsigSecret = map[string]string{key: secret}
	}
	reply, _, err := c.Exchange(m, server)
	switch {
	case err != nil:
		return err
	case reply == nil:
		return errors.New("the server gave no answer")
	case reply.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("server %s replied %s for INSERT %s", server, dns.RcodeToString[reply.Rcode], m.Question[0].Name)
	}
	return nil
}

// updateServer returns the account's name server with its port.
func updateServer() string {
	server := updateSetting("NAMESERVER")
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	return server
}

// updateZone returns the longest of the account's zones that contains a name, else the
// zone that the name server reports.
func updateZone(name, server string) (string, error) {
	best := ""
	for zone := range strings.FieldsFuncSeq(updateSetting("ZONES"), func(r rune) bool { return r == ',' || r == ' ' }) {
		if zone = dns.Fqdn(zone); dns.IsSubDomain(zone, name) && len(zone) > len(best) {
			best = zone
		}
	}
	if best != "" {
		return best, nil
	}
	return dns01.FindZoneByFqdnCustom(name, []string{server})
}

func updateTTL() uint32 {
	if n, err := strconv.ParseUint(updateSetting("TTL"), 10, 31); err == nil {
		return uint32(n)
	}
	return dns01.DefaultTTL
}

func updateTimeout() time.Duration {
	if n, err := strconv.ParseUint(updateSetting("DNS_TIMEOUT"), 10, 16); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return 10 * time.Second
}
