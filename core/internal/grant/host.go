// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Host returns how far an HTTP request to u may reach by the entries of the grant
// and, unless wants is nil, of the manifest too.
func Host(allow, wants []string, u *url.URL) Reach {
	asked := askedHost(u)
	if wants != nil && mostHost(wants, asked) == Nowhere {
		return Nowhere
	}
	return mostHost(allow, asked)
}

func mostHost(entries []string, asked webHost) Reach {
	most := Nowhere
	for _, e := range entries {
		most = max(most, parseHost(e).reach(asked))
	}
	return most
}

// webHost is an entry of http: "[scheme://]host[:port]". Host is a name or an
// address, "*.example.org" for every name below example.org, or "*" for every
// host. Without a scheme it is for http and https, without a port for the
// scheme's own; the port may be "*".
type webHost struct{ scheme, host, port string }

func parseHost(s string) webHost {
	var h webHost
	s = strings.ToLower(s)
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		h.scheme, s = scheme, rest
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), ""
	}
	return webHost{h.scheme, host, orOwn(port, h.scheme)}
}

// askedHost is what a request asks for; its port is always known.
func askedHost(u *url.URL) webHost {
	return webHost{u.Scheme, u.Hostname(), orOwn(u.Port(), u.Scheme)}
}

// orOwn returns port or, when that is empty, the scheme's own, if it has one.
func orOwn(port, scheme string) string {
	if port == "" {
		return map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return port
}

// covers reports whether all that w allows is allowed by h.
func (h webHost) covers(w webHost) bool { return h.reach(w) != Nowhere }

// reach says how far h lets w go: a pattern leads outside alone.
func (h webHost) reach(w webHost) Reach {
	switch {
	case h.host == "", h.scheme != "" && h.scheme != w.scheme, !h.coversPort(w):
		return Nowhere
	case h.host == "*", strings.HasPrefix(h.host, "*.") && strings.HasSuffix(w.host, h.host[1:]):
		return Outside
	case h.host == w.host, sameAddress(h.host, w.host):
		return Anywhere
	}
	return Nowhere
}

// coversPort compares ports; an empty one stands for 80 of http and 443 of
// https.
func (h webHost) coversPort(w webHost) bool {
	own := w.scheme == "http" && w.port == "80" || w.scheme == "https" && w.port == "443"
	return h.port == "*" || h.port == w.port || h.port == "" && own
}

// sameAddress compares two spellings of an IP address.
func sameAddress(a, b string) bool {
	x, err := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	return err == nil && err2 == nil && x.Unmap() == y.Unmap()
}
