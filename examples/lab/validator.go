package lab

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/miekg/dns"
)

// Validator is named as a resolver that validates DNSSEC. It knows only the given zones
// and their servers.
type Validator struct {
	Addr string // "127.0.0.1:port", UDP and TCP
	*Process

	named *BIND
}

// ValidatorOptions are the settings of StartValidator.
type ValidatorOptions struct {
	// Servers are the authoritative servers ("127.0.0.1:port"), by zone.
	Servers map[string]string
	// Anchors are the trust anchors by zone. A zone without one counts as unsigned.
	Anchors map[string]*dns.DNSKEY
}

// StartValidator starts named in the foreground on a free port.
func StartValidator(ctx context.Context, o ValidatorOptions) (*Validator, error) {
	v := &Validator{named: &BIND{}}
	if err := v.named.start(ctx, "", func() error { return v.configure(o) }, v.probe); err != nil {
		return nil, err
	}
	v.Addr, v.Process = v.named.Addr, v.named.Process
	return v, nil
}

// Close ends the server.
func (v *Validator) Close() error { return v.named.Close() }

// An own root zone keeps named from querying the Internet's root servers. It must
// delegate each forwarded zone.
var validatorConf = template.Must(template.New("named.conf").Parse(`
options {
	directory "{{.Dir}}";
	pid-file none;
	session-keyfile none;
	managed-keys-directory "{{.Dir}}";
	listen-on port {{.Port}} { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion yes;
	dnssec-validation yes;
	minimal-responses yes;
};
controls { };
zone "." { type primary; file "root.zone"; };
trust-anchors {
{{range .Anchors}}	{{.}}
{{end}}};
{{range .Zones}}
zone "{{.Name}}" { type forward; forward only; forwarders { {{.Host}} port {{.Port}}; }; };
{{end}}`))

func (v *Validator) configure(o ValidatorOptions) error {
	type forward struct{ Name, Host, Port string }
	var zones []forward
	root := []string{"$TTL 60", ". IN SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 1", ". IN NS ns.invalid.", "ns.invalid. IN A 127.0.0.1"}
	for _, zone := range slices.Sorted(maps.Keys(o.Servers)) {
		host, port, _ := strings.Cut(o.Servers[zone], ":")
		name := canonical(zone)
		zones = append(zones, forward{name, host, port})
		root = append(root, name+" IN NS ns."+name, "ns."+name+" IN A 127.0.0.1")
	}
	var anchors []string
	for zone, key := range o.Anchors {
		anchors = append(anchors, fmt.Sprintf("%q static-key %d %d %d %q;", canonical(zone), key.Flags, key.Protocol, key.Algorithm, key.PublicKey))
	}
	var conf strings.Builder
	data := map[string]any{"Dir": v.named.dir.path, "Port": v.named.port.Port, "Zones": zones, "Anchors": anchors}
	if err := validatorConf.Execute(&conf, data); err != nil {
		return err
	}
	if err := os.WriteFile(v.named.path("root.zone"), []byte(strings.Join(root, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(v.named.path("named.conf"), []byte(conf.String()), 0o600)
}

func (v *Validator) probe(ctx context.Context) error {
	m := new(dns.Msg)
	m.SetQuestion(".", dns.TypeSOA)
	_, _, err := (&dns.Client{Timeout: time.Second}).ExchangeContext(ctx, m, v.named.Addr)
	return err
}

// SigningKey waits until a zone is signed and returns its key for a trust anchor or a DS
// record.
func (b *BIND) SigningKey(ctx context.Context, zone string) (*dns.DNSKEY, error) {
	var key *dns.DNSKEY
	err := b.ready(ctx, func(ctx context.Context) error {
		m := new(dns.Msg)
		m.SetQuestion(canonical(zone), dns.TypeDNSKEY)
		m.SetEdns0(4096, true)
		reply, _, err := (&dns.Client{Net: "tcp", Timeout: time.Second}).ExchangeContext(ctx, m, b.Addr)
		if err != nil {
			return err
		}
		signed := false
		for _, rr := range reply.Answer {
			switch rr := rr.(type) {
			case *dns.DNSKEY:
				if rr.Flags&dns.SEP != 0 {
					key = rr
				}
			case *dns.RRSIG:
				signed = true
			}
		}
		if key == nil || !signed {
			return errNotReady
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for BIND to sign %s: %w", zone, err)
	}
	return key, nil
}
