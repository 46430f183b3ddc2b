// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"net"
	"net/netip"
	"strings"
)

// webHost is an entry of http: "[scheme://]host[:port]". Without a scheme it is
// for http and https, without a port for the scheme's own; the port may be "*".
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
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[h.scheme]
	}
	h.host, h.port = host, port
	return h
}

func (h webHost) covers(w webHost) bool {
	return (h.scheme == "" || h.scheme == w.scheme) && h.coversPort(w) && h.coversHost(w.host)
}

// coversPort compares ports; an empty one stands for 80 of http and 443 of
// https.
func (h webHost) coversPort(w webHost) bool {
	own := w.scheme == "http" && w.port == "80" || w.scheme == "https" && w.port == "443"
	return h.port == "*" || h.port == w.port || h.port == "" && own
}

func (h webHost) coversHost(name string) bool {
	if h.host == "*" || h.host == name || strings.HasPrefix(h.host, "*.") && strings.HasSuffix(name, h.host[1:]) {
		return true
	}
	a, err := netip.ParseAddr(h.host)
	b, err2 := netip.ParseAddr(name)
	return err == nil && err2 == nil && a.Unmap() == b.Unmap()
}
