package lab

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// DNSOptions are the settings of StartDNS and StartBIND.
type DNSOptions struct {
	// Zones the server is authoritative for: "lab.test".
	Zones []string
	// Records are the initial records in zone file syntax: "_acme-challenge.www.lab.test.
	// 60 IN CNAME www.other.test."
	Records []string
	// IPv6 also gives every name the address ::1. A CA that validates over HTTP tries it
	// first, so leave it off unless a server listens there.
	IPv6 bool
	// Signed makes StartBIND sign its zones with its own keys (DNSSEC).
	Signed bool
	Dir    string // StartBIND: working directory; "": a temporary one
}

// DNS is an authoritative name server in this process. Every name in its zones has the
// address 127.0.0.1, except names with a label that begins with "_". It accepts only
// dynamic updates (RFC 2136) signed with its TSIG key (RFC 8945).
type DNS struct {
	Addr      string // "127.0.0.1:port", UDP and TCP
	KeyName   string // of the TSIG key, with the trailing dot
	Secret    string // of the TSIG key, in base64
	Algorithm string // of the TSIG key: "hmac-sha256."

	port    *reservation
	servers []*dns.Server
	served  sync.WaitGroup
	close   sync.Once

	mu         sync.Mutex
	data       zoneData
	queries    int
	updates    int
	unverified int
	asked      map[question]int
	onQuery    Fault
	onWrite    Fault
	lag        time.Duration
}

// question is a name with a record type.
type question struct {
	name   string
	rrtype uint16
}

// StartDNS starts a name server on a free port.
func StartDNS(_ context.Context, o DNSOptions) (*DNS, error) {
	d := &DNS{
		KeyName:   "lab-key.",
		Secret:    base64.StdEncoding.EncodeToString([]byte(random(""))),
		Algorithm: dns.HmacSHA256,
		data:      newZoneData(o.Zones, o.IPv6),
		asked:     map[question]int{},
	}
	if err := d.Add(o.Records...); err != nil {
		return nil, err
	}
	var err error
	if d.port, err = reservePort(); err != nil {
		return nil, err
	}
	d.Addr = d.port.Addr
	if err := d.listen(); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// listen returns when both sockets are served.
func (d *DNS) listen() error {
	packets, err := patiently(func() (net.PacketConn, error) { return net.ListenPacket("udp", d.Addr) })
	if err != nil {
		return fmt.Errorf("starting the DNS server: %w", err)
	}
	stream, err := patiently(func() (net.Listener, error) { return net.Listen("tcp", d.Addr) })
	if err != nil {
		_ = packets.Close()
		return fmt.Errorf("starting the DNS server: %w", err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets}, {Listener: stream}} {
		ready := make(chan struct{})
		s.Handler = dns.HandlerFunc(d.serve)
		s.TsigSecret = map[string]string{d.KeyName: d.Secret}
		s.MsgAcceptFunc = acceptUpdates
		s.NotifyStartedFunc = func() { close(ready) }
		d.served.Go(func() { _ = s.ActivateAndServe() })
		<-ready
		d.servers = append(d.servers, s)
	}
	return nil
}

// acceptUpdates extends the library's filter, which rejects dynamic updates, to accept
// them.
func acceptUpdates(h dns.Header) dns.MsgAcceptAction {
	const response = 1 << 15
	opcode := int(h.Bits>>11) & 0xF
	if opcode == dns.OpcodeUpdate && h.Bits&response == 0 {
		return dns.MsgAccept
	}
	return dns.DefaultMsgAcceptFunc(h)
}

// Close stops the server and waits for it.
func (d *DNS) Close() error {
	var errs []error
	d.close.Do(func() {
		for _, s := range d.servers {
			errs = append(errs, s.Shutdown())
		}
		d.served.Wait()
		d.port.release()
	})
	return errors.Join(errs...)
}

// tsigError returns the TSIG error code for a failed verification: key, MAC or time (RFC
// 8945 section 5.2). An answer with one of the first two is not signed.
func tsigError(err error) uint16 {
	switch {
	case err == nil:
		return dns.RcodeSuccess
	case errors.Is(err, dns.ErrSecret):
		return dns.RcodeBadKey
	case errors.Is(err, dns.ErrTime):
		return dns.RcodeBadTime
	default:
		return dns.RcodeBadSig
	}
}

// Unverified returns the number of messages with an invalid signature.
func (d *DNS) Unverified() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unverified
}

func (d *DNS) serve(w dns.ResponseWriter, r *dns.Msg) {
	d.mu.Lock()
	if r.IsTsig() != nil && w.TsigStatus() != nil {
		d.unverified++
	}
	reply, fault := d.answer(w, r)
	d.mu.Unlock()
	if fault == Drop {
		return
	}
	if tsig := r.IsTsig(); tsig != nil {
		reply.SetTsig(tsig.Hdr.Name, tsig.Algorithm, 300, time.Now().Unix())
		reply.IsTsig().Error = tsigError(w.TsigStatus())
	}
	// If the answer cannot be sent, the client's time-out shows it.
	_ = w.WriteMsg(reply)
}

func (d *DNS) answer(w dns.ResponseWriter, r *dns.Msg) (*dns.Msg, Fault) {
	reply := new(dns.Msg)
	reply.SetReply(r)
	if r.Opcode == dns.OpcodeUpdate {
		d.updates++
		if d.onWrite.apply(reply) {
			return reply, d.onWrite
		}
		reply.Rcode = d.update(w, r)
		return reply, None
	}
	d.queries++
	q := r.Question[0]
	d.asked[question{canonical(q.Name), q.Qtype}]++
	if d.onQuery.apply(reply) {
		return reply, d.onQuery
	}
	d.data.query(reply, q, time.Now())
	return reply, None
}
