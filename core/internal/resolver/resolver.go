// SPDX-License-Identifier: Apache-2.0

// Package resolver looks up where mail goes: the mail exchangers of a domain
// (RFC 5321 §5.1, RFC 7505) and the addresses of a host; and for plugins, by
// Lookup, the records that mail is judged by. It is a stub resolver: it asks
// recursive servers, over UDP and over TCP when an answer was cut off, and keeps
// answers for as long as their TTL says, within bounds.
//
// Errors of LookupMX and LookupIP hold the mail.Reply that they mean for a message: 5xx only where the
// DNS says for certain that there is nothing (ErrNoDomain, ErrNullMX,
// ErrNoAddress), 451 4.4.3 for everything else. Whether a certain "nothing" is
// the recipient's fault or the operator's, who may have misspelt a host in the
// configuration, is for the caller to say.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/miekg/dns"
	"golang.org/x/net/idna"

	"github.com/postroad-mail/postroad/core/mail"
)

// Errors of the lookups, found with errors.Is.
var (
	ErrNoDomain  = errors.New("the name does not exist in the DNS")               // NXDOMAIN
	ErrNullMX    = errors.New("the domain does not accept mail")                  // RFC 7505
	ErrNoAddress = errors.New("the name has no address in the DNS")               // neither A nor AAAA, and for a domain no MX
	ErrTemporary = errors.New("the DNS gave no answer, which may change in time") // SERVFAIL, timeouts, loops
)

// Clock is the time as the cache sees it.
type Clock interface {
	Now() time.Time
}

// Options say whom a Resolver asks. The zero value asks the system's servers.
type Options struct {
	Servers    []string      // "address" or "host:port", asked in this order; empty: those of ResolvConf
	Timeout    time.Duration // for one question to one server; 0: 3 s
	Attempts   int           // rounds over the servers; 0: 2
	CacheSize  int           // names and types kept; 0: 10,000
	ResolvConf string        // empty: /etc/resolv.conf
	HostsFile  string        // read only when Servers is empty; empty: /etc/hosts
	Clock      Clock         // nil: the system's
	Logger     hclog.Logger  // nil: none
}

// MX is one mail exchanger of a domain.
type MX struct {
	Host string // lower case, no last dot; "[address]" for an address literal
	Pref uint16
	TTL  time.Duration // for how long the cache has all of them; 0: it does not
}

// maxMX bounds how many mail exchangers of a domain are looked at.
const maxMX = 32

// Resolver looks names up. It may be used by many goroutines, and has nothing
// that must be closed.
type Resolver struct {
	o       Options
	servers []string
	hosts   map[string][]netip.Addr
	cache   *cache
}

// New returns a Resolver. It fails when a server's address is malformed, or when
// it is to read the system's files and cannot; files that do not exist mean
// what they mean to the system's own resolver: ask 127.0.0.1, know no hosts.
func New(o Options) (*Resolver, error) {
	o = o.withDefaults()
	r := &Resolver{o: o, cache: newCache(o.CacheSize, o.Clock)}
	if len(o.Servers) == 0 {
		return r, r.readSystem()
	}
	for _, s := range o.Servers {
		addr, err := serverAddr(s)
		if err != nil {
			return nil, err
		}
		r.servers = append(r.servers, addr)
	}
	return r, nil
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 2
	}
	if o.CacheSize == 0 {
		o.CacheSize = 10000
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.HostsFile == "" {
		o.HostsFile = "/etc/hosts"
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	return o
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// serverAddr adds the port that is missing.
func serverAddr(s string) (string, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(ip, 53).String(), nil
	}
	if _, _, err := net.SplitHostPort(s); err != nil {
		return "", fmt.Errorf("resolver: server %q is not an address or host:port", s)
	}
	return s, nil
}

// LookupMX returns the mail exchangers of domain, the best first and those of
// equal preference in random order (RFC 5321 §5.1). A domain without MX that
// has an address is its own mail exchanger, and so is an address literal.
func (r *Resolver) LookupMX(ctx context.Context, domain string) ([]MX, error) {
	if _, ok := literal(domain); ok {
		return []MX{{Host: domain}}, nil
	}
	name, err := toASCII(domain)
	if err != nil {
		return nil, permanent(mail.Enhanced{5, 1, 2}, domain, fmt.Errorf("%w: %w", ErrNoDomain, err))
	}
	mxs, err := r.ask(ctx, name, dns.TypeMX)
	if err != nil {
		return nil, replyTo(domain, mail.Enhanced{5, 1, 2}, err)
	}
	if len(mxs.rrs) > 0 {
		all, err := exchangers(domain, mxs.rrs)
		for i := range all {
			all[i].TTL = mxs.ttl
		}
		return all, err
	}
	if _, err := r.LookupIP(ctx, name); err != nil {
		return nil, err
	}
	return []MX{{Host: strings.TrimSuffix(name, "."), TTL: mxs.ttl}}, nil
}

// exchangers puts MX records in order.
func exchangers(domain string, rrs []dns.RR) ([]MX, error) {
	var mxs []MX
	for _, rr := range rrs {
		if mx, ok := rr.(*dns.MX); ok && mx.Mx != "." {
			mxs = append(mxs, MX{Host: strings.ToLower(strings.TrimSuffix(mx.Mx, ".")), Pref: mx.Preference})
		}
	}
	if len(mxs) == 0 {
		reply := mail.NewReply(556, mail.Enhanced{5, 1, 10}, "the domain "+domain+" does not accept mail")
		return nil, reply.Because(ErrNullMX)
	}
	shuffle(mxs)
	slices.SortStableFunc(mxs, func(a, b MX) int { return int(a.Pref) - int(b.Pref) })
	return mxs[:min(len(mxs), maxMX)], nil
}

// LookupIP returns the addresses of host, which may be a name, an address or an
// address literal: IPv4 first, as a host without IPv6 to the outside is more
// common than one without IPv4. The order within is the DNS server's.
func (r *Resolver) LookupIP(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, ok := literal(host); ok {
		return []netip.Addr{ip}, nil
	}
	name, err := toASCII(host)
	if err != nil {
		return nil, permanent(mail.Enhanced{5, 4, 4}, host, fmt.Errorf("%w: %w", ErrNoAddress, err))
	}
	if ips := r.known(name); ips != nil {
		return ips, nil
	}
	type answer struct {
		found
		err error
	}
	six := make(chan answer, 1)
	go func() {
		f, err := r.ask(ctx, name, dns.TypeAAAA)
		six <- answer{f, err}
	}()
	v4, err := r.ask(ctx, name, dns.TypeA)
	v6 := <-six
	ips := addresses(append(slices.Clip(v4.rrs), v6.rrs...))
	if len(ips) > 0 {
		return ips, nil
	}
	return nil, replyTo(host, mail.Enhanced{5, 4, 4}, worse(err, v6.err))
}

// worse returns the error that says least for certain, ErrNoAddress for none.
func worse(a, b error) error {
	for _, err := range []error{a, b} {
		if err != nil && !errors.Is(err, ErrNoDomain) {
			return err
		}
	}
	if a != nil {
		return a
	}
	return ErrNoAddress
}

func addresses(rrs []dns.RR) []netip.Addr {
	var ips []netip.Addr
	for _, rr := range rrs {
		var raw net.IP
		switch rr := rr.(type) {
		case *dns.A:
			raw = rr.A
		case *dns.AAAA:
			raw = rr.AAAA
		}
		if ip, ok := netip.AddrFromSlice(raw); ok {
			ips = append(ips, ip.Unmap())
		}
	}
	return ips
}

// replyTo wraps what ask returned. Only what is certain is permanent.
func replyTo(name string, e mail.Enhanced, err error) error {
	if errors.Is(err, ErrNoDomain) || errors.Is(err, ErrNoAddress) {
		return permanent(e, name, err)
	}
	text := "cannot look up " + name + " now"
	return mail.NewReply(451, mail.Enhanced{4, 4, 3}, text).Because(err)
}

func permanent(e mail.Enhanced, name string, err error) error {
	text := "there is no " + name + " in the DNS"
	if errors.Is(err, ErrNoAddress) {
		text = name + " has no address in the DNS"
	}
	return mail.NewReply(550, e, text).Because(err)
}

// literal returns the address when host is one, bare or in brackets.
func literal(host string) (netip.Addr, bool) {
	if ip, ok := mail.LiteralIP(host); ok {
		return ip, true
	}
	ip, err := netip.ParseAddr(host)
	return ip, err == nil && ip.Zone() == ""
}

// toASCII returns host as the DNS has it: lower case, A-labels, with the last
// dot.
func toASCII(host string) (string, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !(mail.Address(host)).ASCII() {
		a, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", err
		}
		host = a
	}
	if _, ok := dns.IsDomainName(host); !ok || host == "" {
		return "", fmt.Errorf("%q is not a name", host)
	}
	return dns.Fqdn(host), nil
}
