// SPDX-License-Identifier: Apache-2.0

package resolver

import "net/netip"

// IsPublic reports whether ip is an address on the public internet, to which
// mail for a stranger's domain may be sent. It is false for loopback, private,
// link-local, shared, multicast and reserved addresses, also when they are
// wrapped into IPv6 (mapped, NAT64, 6to4): a domain's MX must not lead into the
// operator's own network unless the route says allow_private.
func IsPublic(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range reserved() {
		if p.Contains(ip) {
			return false
		}
	}
	if v4, ok := embedded(ip); ok {
		return IsPublic(v4)
	}
	return true
}

// reserved lists what the IANA registries of special-purpose addresses call not
// globally reachable (RFC 6890), beyond what netip knows.
func reserved() []netip.Prefix {
	return []netip.Prefix{
		v4(0, 0, 0, 0, 8), v4(100, 64, 0, 0, 10), v4(192, 0, 0, 0, 24), v4(192, 0, 2, 0, 24),
		v4(198, 18, 0, 0, 15), v4(198, 51, 100, 0, 24), v4(203, 0, 113, 0, 24), v4(240, 0, 0, 0, 4),
		v6(0x0064ff9b0001, 48), v6(0x010000000000, 64), v6(0x200100000000, 32), v6(0x200100020000, 48),
		v6(0x20010db80000, 32), v6(0x3fff00000000, 20), v6(0x5f0000000000, 16), v6(0xfec000000000, 10),
		netip.PrefixFrom(netip.IPv6Unspecified(), 96), // IPv4-compatible
	}
}

func v4(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

// v6 makes a prefix from the first 48 bits of an address.
func v6(top uint64, bits int) netip.Prefix {
	var b [16]byte
	for i := range 6 {
		b[i] = byte(top >> (40 - 8*i))
	}
	return netip.PrefixFrom(netip.AddrFrom16(b), bits)
}

// embedded returns the IPv4 address behind a NAT64 (RFC 6052) or 6to4
// (RFC 3056) one.
func embedded(ip netip.Addr) (netip.Addr, bool) {
	if !ip.Is6() {
		return netip.Addr{}, false
	}
	b := ip.As16()
	switch {
	case v6(0x0064ff9b0000, 96).Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case v6(0x200200000000, 16).Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}
