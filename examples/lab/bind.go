package lab

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/miekg/dns"
)

// BIND is the real name server named, authoritative for dynamic zones that one TSIG key
// may update. A wildcard record gives every name below a zone the address 127.0.0.1.
type BIND struct {
	*Process
	Addr      string // "127.0.0.1:port", UDP and TCP
	KeyName   string // of the TSIG key, with the trailing dot
	Secret    string // of the TSIG key, in base64
	Algorithm string // of the TSIG key: "hmac-sha256."

	zones []string
	dir   workdir
	port  *reservation
}

// StartBIND starts named in the foreground on a free port.
func StartBIND(ctx context.Context, o DNSOptions) (*BIND, error) {
	b := &BIND{KeyName: "lab-key.", Secret: base64.StdEncoding.EncodeToString([]byte(random(""))), Algorithm: dns.HmacSHA256}
	for _, zone := range o.Zones {
		b.zones = append(b.zones, canonical(zone))
	}
	if err := b.start(ctx, o.Dir, func() error { return b.configure(o) }, b.probe); err != nil {
		return nil, err
	}
	return b, nil
}

// start runs named on the configuration that configure writes into its directory.
func (b *BIND) start(ctx context.Context, dir string, configure func() error, probe func(context.Context) error) error {
	program, err := Find("named")
	if err != nil {
		return err
	}
	if b.dir, err = openDir(dir, "bind"); err != nil {
		return err
	}
	if err = b.run(ctx, program, configure, probe); err != nil {
		b.cleanUp()
	}
	return err
}

func (b *BIND) run(ctx context.Context, program string, configure func() error, probe func(context.Context) error) (err error) {
	if b.port, err = reservePort(); err != nil {
		return err
	}
	b.Addr = b.port.Addr
	if err = configure(); err != nil {
		return fmt.Errorf("configuring BIND: %w", err)
	}
	if program, err = b.unconfined(program); err != nil {
		return err
	}
	// One worker thread is enough. -g keeps named in the foreground and sends its log to
	// stderr.
	b.Process, err = startPath(b.dir.path, nil, program, "-g", "-n", "1", "-c", b.path("named.conf"))
	if err != nil {
		return err
	}
	return b.ready(ctx, probe)
}

func (b *BIND) path(name string) string { return filepath.Join(b.dir.path, name) }

var namedConf = template.Must(template.New("named.conf").Parse(`
options {
	directory "{{.Dir}}";
	pid-file none;
	session-keyfile none;
	managed-keys-directory "{{.Dir}}";
	listen-on port {{.Port}} { 127.0.0.1; };
	listen-on-v6 { none; };
	recursion no;
	dnssec-validation no;
	notify no;
	allow-transfer { 127.0.0.1; };
};
controls { };
key "lab-key" { algorithm hmac-sha256; secret "{{.Secret}}"; };
{{range .Zones}}
zone "{{.}}" { type primary; file "{{.}}zone"; update-policy { grant lab-key zonesub ANY; };{{if $.Signed}} dnssec-policy default;{{end}} };
{{end}}`))

// configure writes named.conf and the initial zones.
func (b *BIND) configure(o DNSOptions) error {
	var conf strings.Builder
	data := map[string]any{"Dir": b.dir.path, "Port": b.port.Port, "Secret": b.Secret, "Zones": b.zones, "Signed": o.Signed}
	if err := namedConf.Execute(&conf, data); err != nil {
		return err
	}
	for _, zone := range b.zones {
		if err := os.WriteFile(b.path(zone+"zone"), []byte(b.zoneFile(zone, o)), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(b.path("named.conf"), []byte(conf.String()), 0o600)
}

func (b *BIND) zoneFile(zone string, o DNSOptions) string {
	lines := []string{
		"$ORIGIN " + zone, "$TTL 60",
		"@ IN SOA ns hostmaster 1 3600 600 86400 1", "@ IN NS ns", "@ IN A 127.0.0.1", "* IN A 127.0.0.1", "ns IN A 127.0.0.1",
	}
	if o.IPv6 {
		lines = append(lines, "@ IN AAAA ::1", "* IN AAAA ::1")
	}
	for _, record := range o.Records {
		if name, _, _ := strings.Cut(record, " "); b.zoneOf(name) == zone {
			lines = append(lines, record)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// zoneOf returns the closest zone around a name.
func (b *BIND) zoneOf(name string) string {
	zones := newZoneData(b.zones, false)
	zone, _ := zones.zone(name)
	return zone
}

// unconfined copies named into the server's directory if AppArmor is on. Debian's and
// Ubuntu's profile applies by the program's path, and would deny named the configuration
// there.
func (b *BIND) unconfined(program string) (string, error) {
	// Without AppArmor the file does not exist.
	if enabled, _ := os.ReadFile("/sys/module/apparmor/parameters/enabled"); !strings.HasPrefix(string(enabled), "Y") {
		return program, nil
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("copying %s out of AppArmor's reach: %w", program, err)
	}
	path := b.path("named")
	return path, WriteProgram(path, content)
}

func (b *BIND) probe(ctx context.Context) error {
	for _, zone := range b.zones {
		m := new(dns.Msg)
		m.SetQuestion(zone, dns.TypeSOA)
		reply, _, err := (&dns.Client{Timeout: time.Second}).ExchangeContext(ctx, m, b.Addr)
		if err != nil {
			return err
		}
		if !reply.Authoritative || len(reply.Answer) == 0 {
			return errNotReady
		}
	}
	return nil
}

// Close ends the server.
func (b *BIND) Close() error {
	err := b.Process.Close()
	b.cleanUp()
	return err
}

func (b *BIND) cleanUp() {
	b.port.release()
	b.dir.remove()
}

// TXT queries the server for the TXT records at a name, sorted.
func (b *BIND) TXT(ctx context.Context, name string) ([]string, error) {
	m := new(dns.Msg)
	m.SetQuestion(canonical(name), dns.TypeTXT)
	reply, _, err := (&dns.Client{Net: "tcp"}).ExchangeContext(ctx, m, b.Addr)
	if err != nil {
		return nil, fmt.Errorf("asking BIND for the TXT records of %s: %w", name, err)
	}
	texts := []string{}
	for _, rr := range reply.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			texts = append(texts, strings.Join(txt.Txt, ""))
		}
	}
	slices.Sort(texts)
	return texts, nil
}

// Challenges returns the names in all zones with TXT records, sorted, from a zone
// transfer. After a clean run there are none.
func (b *BIND) Challenges(ctx context.Context) ([]string, error) {
	names := []string{}
	for _, zone := range b.zones {
		rrs, err := b.transfer(ctx, zone)
		if err != nil {
			return nil, fmt.Errorf("transferring zone %s from BIND: %w", zone, err)
		}
		for _, rr := range rrs {
			if rr.Header().Rrtype == dns.TypeTXT && !slices.Contains(names, rr.Header().Name) {
				names = append(names, rr.Header().Name)
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

func (b *BIND) transfer(ctx context.Context, zone string) ([]dns.RR, error) {
	m := new(dns.Msg)
	m.SetAxfr(zone)
	envelopes, err := (&dns.Transfer{}).In(m, b.Addr)
	if err != nil {
		return nil, err
	}
	var rrs []dns.RR
	for {
		select {
		case e, ok := <-envelopes:
			if !ok {
				return rrs, nil
			}
			if e.Error != nil && !errors.Is(e.Error, io.EOF) {
				return nil, e.Error
			}
			rrs = append(rrs, e.RR...)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
