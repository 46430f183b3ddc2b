// SPDX-License-Identifier: Apache-2.0

package delivery

import "net/netip"

// private reports whether a is an address that the public Internet does not
// route to a host of somebody else's: this host, this link, private networks
// (RFC 1918, RFC 4193), shared address space (RFC 6598), and the special blocks
// of RFC 6890. An IPv4 address inside an IPv6 one counts as what it is.
func private(a netip.Addr) bool {
	a = embedded(a.Unmap().WithZone(""))
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return true
	}
	return a.Is4() && specialV4(a.As4()) || a.Is6() && specialV6(a.As16())
}

func specialV4(b [4]byte) bool {
	switch {
	case b[0] == 0, b[0] >= 240: // this network; reserved
		return true
	case b[0] == 100 && b[1]&0xc0 == 64: // 100.64.0.0/10
		return true
	case b[0] == 192 && b[1] == 0 && b[2] == 0: // 192.0.0.0/24
		return true
	}
	return b[0] == 198 && b[1]&0xfe == 18 // 198.18.0.0/15
}

func specialV6(b [16]byte) bool {
	site := b[0] == 0xfe && b[1]&0xc0 == 0xc0                               // fec0::/10, once site-local
	discard := b[0] == 1 && b[1] == 0 && b[2]|b[3]|b[4]|b[5]|b[6]|b[7] == 0 // 100::/64
	return site || discard
}

// embedded returns the IPv4 address inside a of 64:ff9b::/96 (RFC 6052),
// 2002::/16 (RFC 3056) or ::/96, else a.
func embedded(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	b := a.As16()
	switch {
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6]))
	case [12]byte(b[:12]) == [12]byte{0, 0x64, 0xff, 0x9b}, [12]byte(b[:12]) == [12]byte{}:
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}
