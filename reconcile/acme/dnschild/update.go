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

// setUpdater is lego's rfc2136.
type setUpdater interface {
	challenge.ProviderTimeout
	Sequential() time.Duration
}

// RecordUpdates makes lego's rfc2136 write one record and leave the others at the
// name alone. lego's Present deletes the whole TXT set first (RFC 2136 section
// 2.5.2): the answer of another client, an SPF record where a CNAME leads there.
// Its CleanUp deletes the one record by its value (section 2.5.4), as it should.
//
// A key by GSS-TSIG is negotiated by lego alone, so that such an account still
// replaces the set.
func RecordUpdates(p challenge.Provider) challenge.Provider {
	lego, ok := p.(setUpdater)
	if !ok || strings.HasPrefix(strings.ToLower(updateSetting("TSIG_ALGORITHM")), "gss-tsig") {
		return p
	}
	return &recordUpdater{lego}
}

type recordUpdater struct{ setUpdater }

// Present adds the TXT record of a challenge.
func (u *recordUpdater) Present(domain, _, keyAuth string) error {
	info := dns01.GetChallengeInfo(domain, keyAuth)
	server := updateServer()
	zone, err := updateZone(info.EffectiveFQDN, server)
	if err != nil {
		return fmt.Errorf("dnsupdate: failed to insert: %w", err)
	}
	m := new(dns.Msg).SetUpdate(zone)
	m.Insert([]dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: info.EffectiveFQDN, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: updateTTL()},
		Txt: []string{info.Value},
	}})
	if err := sendUpdate(m, server); err != nil {
		return fmt.Errorf("dnsupdate: failed to insert: DNS update failed: %w", err)
	}
	return nil
}

func sendUpdate(m *dns.Msg, server string) error {
	c := &dns.Client{Timeout: updateTimeout()}
	key, secret := updateSetting("TSIG_KEY"), updateSetting("TSIG_SECRET")
	if key != "" && secret != "" {
		algorithm := dns.HmacSHA1 // which is lego's default
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

// updateServer is the name server of the account, with its port.
func updateServer() string {
	server := updateSetting("NAMESERVER")
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	return server
}

// updateZone is the longest of the account's zones that holds a name, else what
// the name server says.
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
