// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The PROXY protocol: what a proxy says in front of a connection that it relays.
// Its specification is HAProxy's doc/proxy-protocol.txt, "PSpec" below; version 1
// is section 2.1, version 2 section 2.2.
const (
	maxProxyV1   = 107     // octets with CRLF (PSpec 2.1)
	minProxyV1   = 15      // "PROXY UNKNOWN" CRLF, the shortest
	proxyV2Fixed = 16      // signature, version and command, family, length
	maxProxyV2   = 4 << 10 // octets behind those: addresses and TLVs
)

// proxyTime is how long the header may take.
const proxyTime = 10 * time.Second

const proxyV2Signature = "\r\n\r\n\x00\r\nQUIT\n"

var errProxy = errors.New("not a PROXY header")

// proxied is what a header says.
type proxied struct {
	client netip.AddrPort // zero: a client whose address is not known
	local  bool           // the proxy speaks for itself, as for a health check
}

// introduce finds out who the client is, where a proxy is to say so: it reads the
// header before anything else, and not an octet more, for a TLS handshake may
// follow. It reports whether the session goes on.
func (s *session) introduce() bool {
	if containsAddr(s.server.opts.Proxies, s.client.Addr.Addr()) {
		p, err := s.readProxied(time.Now().Add(min(proxyTime, s.timeout)))
		if err != nil {
			s.noHeader(err)
			return false
		}
		if !p.local {
			s.client.Via, s.client.Addr = s.client.Addr, p.client
		}
	}
	s.speaker = s.client.Addr
	return true
}

func (s *session) noHeader(err error) {
	if errors.Is(err, errProxy) || errors.Is(err, os.ErrDeadlineExceeded) {
		s.end(refuse(ReasonProxy, 421, 3, 5, "a PROXY header is expected from this address"))
		return
	}
	s.lost(err)
}

// containsAddr reports whether ip is in one of the networks.
func containsAddr(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip.WithZone("")) })
}

// readProxied reads a header of either version.
func (s *session) readProxied(until time.Time) (proxied, error) {
	b := make([]byte, len(proxyV2Signature), maxProxyV1)
	if err := s.exactly(b, until); err != nil {
		return proxied{}, err
	}
	if string(b) == proxyV2Signature {
		return s.readProxyV2(b, until)
	}
	if !bytes.HasPrefix(b, []byte("PROXY ")) {
		return proxied{}, errProxy
	}
	return s.readProxyV1(b, until)
}

// readProxyV1 reads the rest of a line, an octet at a time behind the shortest one:
// nobody says how long it is.
func (s *session) readProxyV1(b []byte, until time.Time) (proxied, error) {
	for b[len(b)-1] != '\n' {
		n := max(1, minProxyV1-len(b))
		if len(b)+n > maxProxyV1 {
			return proxied{}, errProxy
		}
		b = b[:len(b)+n]
		if err := s.exactly(b[len(b)-n:], until); err != nil {
			return proxied{}, err
		}
	}
	return parseProxyV1(string(b))
}

func (s *session) readProxyV2(b []byte, until time.Time) (proxied, error) {
	b = b[:proxyV2Fixed]
	if err := s.exactly(b[len(proxyV2Signature):], until); err != nil {
		return proxied{}, err
	}
	n := int(binary.BigEndian.Uint16(b[proxyV2Fixed-2:]))
	if n > maxProxyV2 {
		return proxied{}, errProxy
	}
	b = append(b, make([]byte, n)...)
	if err := s.exactly(b[proxyV2Fixed:], until); err != nil {
		return proxied{}, err
	}
	return parseProxyV2(b)
}

// exactly fills p from the connection, and reads nothing behind it.
func (w *wire) exactly(p []byte, until time.Time) error {
	for len(p) > 0 {
		if err := w.arm(until, inHandshake); err != nil {
			return err
		}
		n, err := w.conn.Read(p)
		if err := w.disarm(n, err); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// parseProxyV1 reads a line (PSpec 2.1).
func parseProxyV1(text string) (proxied, error) {
	line, ended := strings.CutSuffix(text, "\r\n")
	rest, ok := strings.CutPrefix(line, "PROXY ")
	if !ok || !ended || !clean(line) {
		return proxied{}, errProxy
	}
	if rest == "UNKNOWN" || strings.HasPrefix(rest, "UNKNOWN ") {
		return proxied{}, nil // what follows must be ignored
	}
	w := strings.Split(rest, " ")
	if len(w) != 5 || w[0] != "TCP4" && w[0] != "TCP6" {
		return proxied{}, errProxy
	}
	from, err1 := proxyAddr(w[1], w[3], w[0] == "TCP6")
	_, err2 := proxyAddr(w[2], w[4], w[0] == "TCP6")
	return proxied{client: from}, cmp.Or(err1, err2)
}

func proxyAddr(addr, port string, six bool) (netip.AddrPort, error) {
	ip, err := netip.ParseAddr(addr)
	n, bad := portNumber(port)
	if err != nil || bad || ip.Zone() != "" || ip.Is6() != six {
		return netip.AddrPort{}, errProxy
	}
	return netip.AddrPortFrom(ip.Unmap(), n), nil
}

// portNumber reads a port without a sign or leading zeros.
func portNumber(s string) (port uint16, bad bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err != nil || strconv.FormatUint(n, 10) != s
}

// What version 2 says in its 13th and 14th octet (PSpec 2.2).
const (
	proxyLocal, proxyProxy = 0x20, 0x21
	proxyTCP4, proxyTCP6   = 0x11, 0x21
	proxyUnix, proxyUnspec = 0x31, 0x00
)

// parseProxyV2 reads a whole header, whose length is right. Of the TLVs behind the
// addresses only the checksum is looked at.
func parseProxyV2(b []byte) (proxied, error) {
	switch {
	case b[12] == proxyLocal:
		return proxied{local: true}, nil // the rest must be ignored
	case b[12] != proxyProxy:
		return proxied{}, errProxy
	case b[13] == proxyUnspec:
		return proxied{}, nil // likewise
	}
	size := map[byte]int{proxyTCP4: 12, proxyTCP6: 36, proxyUnix: 216}[b[13]]
	a := b[proxyV2Fixed:]
	if size == 0 || len(a) < size || !soundTLVs(b, proxyV2Fixed+size) {
		return proxied{}, errProxy
	}
	switch b[13] {
	case proxyTCP4:
		return proxied{client: rawAddr(a[:4], a[8:10])}, nil
	case proxyTCP6:
		return proxied{client: rawAddr(a[:16], a[32:34])}, nil
	}
	return proxied{}, nil // a unix socket of the proxy's: who knows
}

func rawAddr(ip, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip) // it has 4 or 16 octets
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}

// proxyCRC32C is the TLV with the checksum of the header (PSpec 2.2.4).
const proxyCRC32C = 0x03

// soundTLVs reports whether the TLVs from at on fill the header, and its checksum,
// if there is one, is right.
func soundTLVs(b []byte, at int) bool {
	for at < len(b) {
		if len(b)-at < 3 {
			return false
		}
		value := at + 3
		end := value + int(binary.BigEndian.Uint16(b[at+1:]))
		if end > len(b) || b[at] == proxyCRC32C && !soundCRC(b, value, end) {
			return false
		}
		at = end
	}
	return true
}

// soundCRC compares the checksum, which was made with zeros in its own place.
func soundCRC(b []byte, at, end int) bool {
	if end-at != crc32.Size {
		return false
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[:at])
	sum = crc32.Update(sum, table, make([]byte, crc32.Size))
	sum = crc32.Update(sum, table, b[end:])
	return sum == binary.BigEndian.Uint32(b[at:end])
}
