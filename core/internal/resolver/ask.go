// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds of a lookup.
const (
	maxAliases   = 16   // CNAME steps
	maxAsked     = 4    // questions along one chain of aliases
	udpSize      = 1232 // octets of an answer over UDP (DNS Flag Day 2020)
	maxStrangers = 64   // answers over UDP that are not to our question
)

// found is what ask found.
type found struct {
	rrs    []dns.RR
	ttl    time.Duration // for how long all of it is good
	secure bool          // the servers say so of every answer on the way
}

// ask returns the records of type qtype at name, or where its aliases lead. No
// records and no error means that the name exists without any.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) (found, error) {
	f, steps := found{ttl: maxTTL, secure: true}, 0
	for range maxAsked {
		a, ttl, err := r.cached(ctx, name, qtype)
		if err != nil {
			return found{}, err
		}
		f.ttl, f.secure = min(f.ttl, ttl), f.secure && a.AuthenticatedData
		end, rrs := follow(a.Answer, name, qtype, &steps)
		if a.Rcode == dns.RcodeNameError {
			return found{}, fmt.Errorf("%s: %w", end, ErrNoDomain)
		}
		if len(rrs) > 0 || end == name {
			f.rrs = rrs
			return f, nil
		}
		if steps > maxAliases {
			break
		}
		name = end
	}
	return found{}, fmt.Errorf("%s: %w: too many aliases", name, ErrTemporary)
}

// follow goes along the aliases in an answer. It returns where they end and the
// records of type qtype there.
func follow(answer []dns.RR, name string, qtype uint16, steps *int) (string, []dns.RR) {
	for ; *steps <= maxAliases; *steps++ {
		var rrs []dns.RR
		next := ""
		for _, rr := range answer {
			if !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			if rr.Header().Rrtype == qtype {
				rrs = append(rrs, rr)
			}
			if c, ok := rr.(*dns.CNAME); ok {
				next = strings.ToLower(dns.Fqdn(c.Target))
			}
		}
		if len(rrs) > 0 || next == "" {
			return name, rrs
		}
		name = next
	}
	return name, nil
}

// cached returns the answer from the cache, or a server's, which it keeps, and
// for how long it is good.
func (r *Resolver) cached(ctx context.Context, name string, qtype uint16) (*dns.Msg, time.Duration, error) {
	if a, ttl := r.cache.get(name, qtype); ttl > 0 {
		return a, ttl, nil
	}
	a, err := r.query(ctx, name, qtype)
	if err != nil {
		return nil, 0, err
	}
	return a, r.cache.put(name, qtype, a), nil
}

// query asks the servers in turn until one knows.
func (r *Resolver) query(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	var last error
	for range r.o.Attempts {
		for _, server := range r.servers {
			a, err := r.exchange(ctx, server, name, qtype)
			if err == nil {
				return a, nil
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%w: %w", ErrTemporary, ctx.Err())
			}
			r.o.Logger.Debug("no answer", "server", server, "name", name, "type", dns.TypeToString[qtype], "error", err)
			last = err
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrTemporary, last)
}

// exchange asks one server. Only NOERROR and NXDOMAIN are answers.
func (r *Resolver) exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, qtype) // with a random id
	q.SetEdns0(udpSize, false)
	q.AuthenticatedData = true // tell us whether you validated it (RFC 6840 §5.7)
	a, err := r.over(ctx, "udp", server, q)
	if err == nil && a.Rcode == dns.RcodeFormatError {
		q.Extra = nil // a server from before EDNS
		a, err = r.over(ctx, "udp", server, q)
	}
	if err == nil && a.Truncated {
		a, err = r.over(ctx, "tcp", server, q)
	}
	if err != nil {
		return nil, err
	}
	if a.Rcode != dns.RcodeSuccess && a.Rcode != dns.RcodeNameError {
		return nil, errors.New("the server says " + dns.RcodeToString[a.Rcode])
	}
	return a, nil
}

// over sends q over a socket of its own, so that its port is random too, and
// waits for the answer to it; whatever else comes is not looked at.
func (r *Resolver) over(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // closed then
	defer stop()
	conn := &dns.Conn{Conn: c, UDPSize: udpSize}
	if err := conn.WriteMsg(q); err != nil {
		return nil, err
	}
	for range maxStrangers {
		a, err := conn.ReadMsg()
		if a != nil && answers(a, q) {
			return a, err
		}
		if err != nil && (network == "tcp" || a == nil) {
			return nil, err
		}
	}
	return nil, errors.New("too many answers to other questions")
}

// answers reports whether a is an answer to q.
func answers(a, q *dns.Msg) bool {
	if !a.Response || a.Id != q.Id || len(a.Question) != 1 {
		return false
	}
	got, want := a.Question[0], q.Question[0]
	return got.Qtype == want.Qtype && got.Qclass == want.Qclass && strings.EqualFold(got.Name, want.Name)
}

func shuffle(mxs []MX) {
	rand.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
}
