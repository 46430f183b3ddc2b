// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"net"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// DNS is a name server on a loopback port, UDP and TCP, that answers from a
// zone like a recursive server: with the whole CNAME chain, at most eight
// steps of it, and with the zone's SOA where there is nothing.
type DNS struct {
	t       T
	addr    string
	servers []*dns.Server

	mu      sync.Mutex
	rrs     map[string][]dns.RR // by lower-case name
	faults  map[string]DNSFault
	secure  map[string]bool
	queries map[string]int
	changed chan struct{}
}

// DNSFault is how a name is answered wrongly. The zero value is no fault.
type DNSFault struct {
	Rcode    int  // answer with this code, for instance dns.RcodeServerFailure
	Silent   bool // do not answer
	Truncate bool // over UDP: an empty answer with the TC bit
	Spoof    bool // over UDP: first an answer with a wrong id and one with a wrong question
}

// NewDNS starts a name server for the records in zone, which is in the format
// of zone files (RFC 1035 §5) with "." as origin and 60 s as the usual TTL. It
// ends with the test.
func NewDNS(t T, zone string) *DNS {
	t.Helper()
	d := &DNS{t: t, faults: map[string]DNSFault{}, secure: map[string]bool{}, queries: map[string]int{}, changed: make(chan struct{})}
	d.SetZone(zone)
	d.listen()
	t.Cleanup(d.Close)
	return d
}

// Addr returns "127.0.0.1:port".
func (d *DNS) Addr() string { return d.addr }

// SetZone replaces all records.
func (d *DNS) SetZone(zone string) {
	d.t.Helper()
	rrs := map[string][]dns.RR{}
	p := dns.NewZoneParser(strings.NewReader(zone), ".", "zone")
	p.SetDefaultTTL(60)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := strings.ToLower(rr.Header().Name)
		rrs[name] = append(rrs[name], rr)
	}
	if err := p.Err(); err != nil {
		d.t.Fatalf("testkit: dns: %v", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rrs = rrs
}

// SetFault has questions for name answered wrongly from now on.
func (d *DNS) SetFault(name string, f DNSFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults[strings.ToLower(dns.Fqdn(name))] = f
}

// SetSecure has answers about name say that they were validated with DNSSEC, to
// who wants to know (RFC 6840 §5.7).
func (d *DNS) SetSecure(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.secure[strings.ToLower(dns.Fqdn(name))] = true
}

// Queries returns how often name was asked for records of type qtype over
// network ("udp" or "tcp").
func (d *DNS) Queries(network, name string, qtype uint16) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queries[queryKey(network, name, qtype)]
}

// Changed returns a channel that is closed at the next question.
func (d *DNS) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// Close stops the server. A second Close does nothing.
func (d *DNS) Close() {
	d.mu.Lock()
	servers := d.servers
	d.servers = nil
	d.mu.Unlock()
	for _, s := range servers {
		if err := s.Shutdown(); err != nil {
			d.t.Errorf("testkit: dns: %v", err)
		}
	}
}

// listen finds a port that is free for both protocols.
func (d *DNS) listen() {
	d.t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			d.t.Fatalf("testkit: dns: %v", err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			continue
		}
		d.addr = l.Addr().String()
		d.start(&dns.Server{Listener: l, Handler: d.handler("tcp")})
		d.start(&dns.Server{PacketConn: pc, Handler: d.handler("udp")})
		return
	}
	d.t.Fatalf("testkit: dns: no port is free for both TCP and UDP")
}

func (d *DNS) start(s *dns.Server) {
	ready := make(chan struct{})
	s.NotifyStartedFunc = func() { close(ready) }
	d.servers = append(d.servers, s)
	go s.ActivateAndServe() //nolint:errcheck // ends by Shutdown
	<-ready
}

func (d *DNS) handler(network string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		if len(q.Question) != 1 {
			return
		}
		f := d.note(network, q.Question[0])
		a := new(dns.Msg).SetReply(q)
		a.RecursionAvailable = true
		switch {
		case f.Silent:
			return
		case f.Rcode != 0:
			a.Rcode = f.Rcode
		case f.Truncate && network == "udp":
			a.Truncated = true
		default:
			d.answer(a, q.Question[0])
			a.AuthenticatedData = q.AuthenticatedData && d.isSecure(q.Question[0].Name)
		}
		if f.Spoof && network == "udp" {
			spoof(w, a)
		}
		w.WriteMsg(a) //nolint:errcheck // the client is gone
	}
}

// note counts a question and returns what is wrong with its name.
func (d *DNS) note(network string, q dns.Question) DNSFault {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queries[queryKey(network, q.Name, q.Qtype)]++
	close(d.changed)
	d.changed = make(chan struct{})
	return d.faults[strings.ToLower(q.Name)]
}

// answer fills in the records of the question's type, along the CNAME chain.
func (d *DNS) answer(a *dns.Msg, q dns.Question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := strings.ToLower(q.Name)
	for range 8 {
		next := ""
		for _, rr := range d.rrs[name] {
			if c, ok := rr.(*dns.CNAME); ok && q.Qtype != dns.TypeCNAME {
				next = strings.ToLower(c.Target)
			}
			if rr.Header().Rrtype == q.Qtype || next != "" {
				a.Answer = append(a.Answer, rr)
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	if !d.exists(name) {
		a.Rcode = dns.RcodeNameError
	}
	if len(a.Answer) == 0 {
		a.Ns = d.soa(name)
	}
}

func (d *DNS) isSecure(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.secure[strings.ToLower(name)]
}

// soa returns the SOA of the nearest zone that name is in (RFC 2308 §3).
func (d *DNS) soa(name string) []dns.RR {
	for at, end := 0, false; !end; at, end = dns.NextLabel(name, at) {
		if rrs := soaOf(d.rrs[name[at:]]); rrs != nil {
			return rrs
		}
	}
	return soaOf(d.rrs["."])
}

func soaOf(rrs []dns.RR) []dns.RR {
	for _, rr := range rrs {
		if _, ok := rr.(*dns.SOA); ok {
			return []dns.RR{rr}
		}
	}
	return nil
}

// exists reports whether there are records at name or below it (RFC 8020).
func (d *DNS) exists(name string) bool {
	for n := range d.rrs {
		if n == name || strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	return false
}

// spoof sends what somebody who does not see the question could send.
func spoof(w dns.ResponseWriter, a *dns.Msg) {
	evil, _ := dns.NewRR(a.Question[0].Name + " 60 IN A 192.0.2.66")
	bad := a.Copy()
	bad.Id++
	bad.Answer = []dns.RR{evil}
	w.WriteMsg(bad) //nolint:errcheck // the client is gone
	bad.Id--
	bad.Question[0].Name = "evil.example."
	w.WriteMsg(bad) //nolint:errcheck // the client is gone
}

func queryKey(network, name string, qtype uint16) string {
	return network + " " + strings.ToLower(dns.Fqdn(name)) + " " + dns.TypeToString[qtype]
}
