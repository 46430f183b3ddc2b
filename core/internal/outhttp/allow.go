// SPDX-License-Identifier: Apache-2.0

package outhttp

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// reach says to which addresses a connection may be made.
type reach int

const (
	nowhere  reach = iota
	outside        // public addresses: a pattern granted the host
	anywhere       // the operator's own networks too: the grant names the host
)

// permitted returns how far a request to u may reach. A pattern is
// "[scheme://]host[:port]". Host is a name or address, "*.example.org" for every
// name below example.org, or "*" for every host. Without a scheme it is for http
// and https, without a port for the scheme's own; the port may be "*".
func permitted(u *url.URL, allow, wants []string) reach {
	most := nowhere
	for _, p := range allow {
		most = max(most, parsePattern(p).covers(u))
	}
	if wants == nil {
		return most
	}
	for _, p := range wants {
		if parsePattern(p).covers(u) != nowhere {
			return most
		}
	}
	return nowhere
}

// pattern is one entry of an allow-list.
type pattern struct{ scheme, host, port string }

func parsePattern(s string) pattern {
	var p pattern
	s = strings.ToLower(s)
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		p.scheme, s = scheme, rest
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), ""
	}
	p.host, p.port = host, port
	return p
}

func (p pattern) covers(u *url.URL) reach {
	if p.scheme != "" && p.scheme != u.Scheme || !p.coversPort(u) {
		return nowhere
	}
	host := u.Hostname()
	switch {
	case p.host == "":
		return nowhere
	case p.host == "*", strings.HasPrefix(p.host, "*.") && strings.HasSuffix(host, p.host[1:]):
		return outside
	case p.host == host, sameAddress(p.host, host):
		return anywhere
	}
	return nowhere
}

func (p pattern) coversPort(u *url.URL) bool {
	switch p.port {
	case "*":
		return true
	case "":
		return portOf(u) == defaultPort(u.Scheme)
	}
	return p.port == portOf(u)
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return defaultPort(u.Scheme)
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// sameAddress compares two spellings of an IP address.
func sameAddress(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	return err == nil && err2 == nil && x.Unmap() == y.Unmap()
}
