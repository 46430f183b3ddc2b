// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"
)

// Reach says how far a next hop may lead, or an HTTP request.
type Reach int

// The reaches.
const (
	Nowhere  Reach = iota // it is not granted
	Outside               // to public addresses: a pattern covers it
	Anywhere              // inside too: the operator wrote the name or, of next hops, a pattern of addresses
)

// CheckHop says what is wrong with an entry of next_hops.
func CheckHop(p string) error {
	if !strings.Contains(p, ":") && p != "*" {
		return fmt.Errorf("%q has no port; * stands for any", p)
	}
	if _, err := path.Match(p, ""); err != nil {
		return fmt.Errorf("%q has a bracket without its end", p)
	}
	return nil
}

// Hop returns how far the next hop "host:port" may lead by the entries of the
// grant and, unless wants is nil, of the manifest too.
func Hop(allow, wants []string, hop string) Reach {
	host, port, err := net.SplitHostPort(strings.ToLower(hop))
	if err != nil {
		return Nowhere
	}
	if wants != nil && mostHop(wants, host, port) == Nowhere {
		return Nowhere
	}
	return mostHop(allow, host, port)
}

func mostHop(patterns []string, host, port string) Reach {
	most := Nowhere
	for _, p := range patterns {
		most = max(most, parseHop(p).reach(host, port))
	}
	return most
}

// hopPattern is an entry of next_hops: a host and a port, each with the signs of
// path.Match. One that reads as an address is for addresses alone: a name such as
// "10.1.attacker.example" is whatever its owner wants.
type hopPattern struct {
	host, port string
	addr       netip.Addr // of one that is an address as it stands
	address    bool       // it reads as an address, or as a pattern of some
}

func parseHop(s string) hopPattern {
	s = strings.ToLower(s)
	if s == "*" {
		return hopPattern{host: "*", port: "*"}
	}
	at := strings.LastIndexByte(s, ':')
	if at < 0 {
		return hopPattern{}
	}
	p := hopPattern{host: s[:at], port: s[at+1:]}
	if inner, ok := strings.CutPrefix(p.host, "["); ok && strings.HasSuffix(inner, "]") && strings.Contains(inner, ":") {
		p.host, p.address = strings.TrimSuffix(inner, "]"), true
	}
	if a, err := netip.ParseAddr(p.host); err == nil {
		p.addr = a.Unmap()
		p.host = p.addr.String()
	}
	p.address = p.address || p.addr.IsValid() || numeric(p.host)
	return p
}

// numeric reports whether a pattern has digits, and nothing but digits, dots and
// signs of path.Match: no top-level domain is a number.
func numeric(host string) bool {
	return strings.ContainsAny(host, "0123456789") && strings.Trim(host, `0123456789.*?[]^-\`) == ""
}

func (p hopPattern) reach(host, port string) Reach {
	if !match(p.port, port) {
		return Nowhere
	}
	addr, err := netip.ParseAddr(host)
	if err == nil {
		host = addr.Unmap().String()
	}
	switch {
	case p.address && err == nil && match(p.host, host):
		return Anywhere
	case p.address:
		return Nowhere
	case p.host == host && !strings.ContainsAny(host, `*?[\`):
		return Anywhere
	case match(p.host, host):
		return Outside
	}
	return Nowhere
}

// covers compares two patterns, w read as text: a sign in it is met by a "*" of p.
func (p hopPattern) covers(w hopPattern) bool {
	if p.address && !w.address {
		return false
	}
	return (p.port == w.port || match(p.port, w.port)) && (p.host == w.host || match(p.host, w.host))
}

func match(pattern, s string) bool {
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}
