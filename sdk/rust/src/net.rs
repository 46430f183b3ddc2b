// SPDX-License-Identifier: Apache-2.0

//! Networks, for lists of clients: `192.0.2.0/24`, `2001:db8::/32`, or one
//! address. An IPv4 address in IPv6 form (`::ffff:192.0.2.1`) counts as IPv4.

use std::net::IpAddr;

/// An IP address of either family, as the 128 bits of its IPv6 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip(u128);

/// A set of addresses with a common prefix.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    base: Ip,
    bits: u32, // of 128
}

impl Ip {
    /// Reads an address; `None` when the text is none.
    pub fn parse(text: &str) -> Option<Ip> {
        match text.parse().ok()? {
            IpAddr::V4(a) => Some(Ip(u128::from(a.to_ipv6_mapped()))),
            IpAddr::V6(a) => Some(Ip(u128::from(a))),
        }
    }
}

impl Network {
    /// Reads a network in CIDR notation, or one address.
    pub fn parse(text: &str) -> Option<Network> {
        let (addr, len) = match text.find('/') {
            Some(i) => (&text[..i], Some(text[i + 1..].parse::<u8>().ok()? as u32)),
            None => (text, None),
        };
        let base = Ip::parse(addr)?;
        let (total, skip) = if addr.contains(':') { (128, 0) } else { (32, 96) };
        let len = len.unwrap_or(total);
        if len > total {
            return None;
        }
        Some(Network { base, bits: len + skip })
    }

    /// Whether the address is in the network.
    pub fn contains(&self, ip: Ip) -> bool {
        self.bits == 0 || (self.base.0 ^ ip.0) >> (128 - self.bits) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn membership() {
        for (net, ip, want) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.0/24", "::ffff:192.0.2.7", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::1", true),
        ] {
            let n = Network::parse(net).unwrap();
            assert_eq!(n.contains(Ip::parse(ip).unwrap()), want, "{} {}", net, ip);
        }
    }

    #[test]
    fn refused() {
        for bad in ["", "192.0.2", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "::/129", "x", "1.2.3.4/a"] {
            assert!(Network::parse(bad).is_none(), "{}", bad);
        }
    }
}
