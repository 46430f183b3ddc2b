// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Bounds of what Lookup returns.
const (
	maxRecords = 64
	maxData    = 32 << 10 // octets of all records together
)

// Answer is what Lookup returns: one record at least, in the server's order.
type Answer struct {
	Records       []Record
	Authenticated bool // the servers say that they validated it with DNSSEC (the AD bit)
}

// Record is one record of an Answer.
type Record struct {
	TTL        time.Duration // for how long it is still good
	Data       []byte        // an address as text, a name in lower case without its last dot, or the strings of a TXT, joined
	Preference uint16        // of an MX
}

// Lookup returns the records of a type at name, or where its aliases lead, as
// plugins ask for them: A, AAAA, CNAME, MX, NS, PTR and TXT. A PTR may be asked
// for by the address itself. It asks the DNS alone, not the system's hosts file.
//
// Its errors hold the abi.Errno that they mean for a plugin: ErrNotFound when
// the DNS says for certain that there is nothing, ErrUnsupported for other
// types, ErrBadArgument for what is no name, ErrLimit for an answer that is too
// large, ErrTimeout, ErrIO. A negative answer is kept for as long as its SOA
// says, like a positive one for its TTL.
func (r *Resolver) Lookup(ctx context.Context, name string, rrtype uint16) (Answer, error) {
	if !served(rrtype) {
		return Answer{}, abi.ErrUnsupported
	}
	name, err := question(name, rrtype)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", abi.ErrBadArgument, err)
	}
	f, err := r.ask(ctx, name, rrtype)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", errno(ctx, err), err)
	}
	if len(f.rrs) == 0 {
		return Answer{}, fmt.Errorf("%w: %s has no %s", abi.ErrNotFound, name, dns.TypeToString[rrtype])
	}
	return f.answer()
}

func served(rrtype uint16) bool {
	switch rrtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeMX, dns.TypeNS, dns.TypePTR, dns.TypeTXT:
		return true
	}
	return false
}

// question returns the name to ask for.
func question(name string, rrtype uint16) (string, error) {
	if ip, err := netip.ParseAddr(name); err == nil && rrtype == dns.TypePTR {
		return dns.ReverseAddr(ip.Unmap().WithZone("").String())
	}
	return toASCII(name)
}

// errno is what an error of ask means for a plugin.
func errno(ctx context.Context, err error) abi.Errno {
	var t interface{ Timeout() bool }
	switch {
	case errors.Is(err, ErrNoDomain):
		return abi.ErrNotFound
	case ctx.Err() != nil, errors.As(err, &t) && t.Timeout():
		return abi.ErrTimeout
	}
	return abi.ErrIO
}

func (f *found) answer() (Answer, error) {
	a, octets := Answer{Authenticated: f.secure}, 0
	for _, rr := range f.rrs {
		rec := record(rr)
		rec.TTL = min(f.ttl, time.Duration(rr.Header().Ttl)*time.Second)
		if octets += len(rec.Data); octets > maxData || len(a.Records) == maxRecords {
			return Answer{}, abi.ErrLimit
		}
		a.Records = append(a.Records, rec)
	}
	return a, nil
}

// record copies what a plugin sees of a record.
func record(rr dns.RR) Record {
	switch rr := rr.(type) {
	case *dns.A:
		return Record{Data: address(rr.A)}
	case *dns.AAAA:
		return Record{Data: address(rr.AAAA)}
	case *dns.CNAME:
		return Record{Data: target(rr.Target)}
	case *dns.MX:
		return Record{Data: target(rr.Mx), Preference: rr.Preference}
	case *dns.NS:
		return Record{Data: target(rr.Ns)}
	case *dns.PTR:
		return Record{Data: target(rr.Ptr)}
	case *dns.TXT:
		return Record{Data: text(rr.Txt)}
	}
	return Record{}
}

func address(raw []byte) []byte {
	ip, _ := netip.AddrFromSlice(raw)
	return ip.Unmap().AppendTo(nil)
}

// target is a name; the root stays ".".
func target(name string) []byte {
	if name == "." {
		return []byte(name)
	}
	return []byte(strings.ToLower(strings.TrimSuffix(name, ".")))
}

// text joins the strings of a TXT (RFC 7208 §3.3) and undoes the escapes that
// miekg/dns keeps them with.
func text(parts []string) []byte {
	var out []byte
	for _, s := range parts {
		for len(s) > 0 {
			c, n := octet(s)
			out, s = append(out, c), s[n:]
		}
	}
	return out
}

// octet reads one octet in presentation format (RFC 1035 §5.1): itself, \X or
// \DDD.
func octet(s string) (byte, int) {
	if s[0] != '\\' || len(s) == 1 {
		return s[0], 1
	}
	if len(s) >= 4 && digit(s[1]) && digit(s[2]) && digit(s[3]) {
		return (s[1]-'0')*100 + (s[2]-'0')*10 + (s[3] - '0'), 4
	}
	return s[1], 2
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
