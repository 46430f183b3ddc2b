// SPDX-License-Identifier: Apache-2.0

//! What a limit counts by.

use postroad::{Field, Hook, Result};
use std::net::IpAddr;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Client,
    Sender,
    SenderDomain,
    Recipient,
    RecipientDomain,
    User,
    Listener,
}

impl Key {
    pub fn new(name: &str) -> std::result::Result<Key, String> {
        Ok(match name {
            "client" => Key::Client,
            "sender" => Key::Sender,
            "sender_domain" => Key::SenderDomain,
            "recipient" => Key::Recipient,
            "recipient_domain" => Key::RecipientDomain,
            "user" => Key::User,
            "listener" => Key::Listener,
            _ => {
                let want = "client, sender, sender_domain, recipient, recipient_domain, user, listener";
                return Err(["limit: key \"", name, "\" is not one of ", want].concat());
            }
        })
    }

    pub fn needs_recipient(self) -> bool {
        self == Key::Recipient || self == Key::RecipientDomain
    }

    /// The key of this hook with its kind in front, so that limits of several
    /// kinds can share a bucket; `None` when the fact is absent: not
    /// authenticated, null sender.
    pub fn of(self, h: &Hook, rcpt: Option<usize>) -> Result<Option<String>> {
        let fact = match self {
            Key::Client => h.get(Field::ClientIp)?.map(network),
            Key::Sender => Some(h.sender()?),
            Key::SenderDomain => Some(domain(h.sender()?)),
            Key::Recipient => h.recipient(rcpt.unwrap_or(0))?,
            Key::RecipientDomain => h.recipient(rcpt.unwrap_or(0))?.map(domain),
            Key::User => h.get(Field::AuthUser)?,
            Key::Listener => h.get(Field::Listener)?,
        };
        Ok(fact.filter(|f| !f.is_empty()).map(|mut f| {
            f.make_ascii_lowercase();
            f.insert_str(0, self.prefix());
            f
        }))
    }

    fn prefix(self) -> &'static str {
        match self {
            Key::Client => "client:",
            Key::Sender => "sender:",
            Key::SenderDomain => "sender_domain:",
            Key::Recipient => "recipient:",
            Key::RecipientDomain => "recipient_domain:",
            Key::User => "user:",
            Key::Listener => "listener:",
        }
    }
}

fn domain(address: String) -> String {
    match address.rfind('@') {
        Some(i) => address[i + 1..].to_string(),
        None => String::new(),
    }
}

/// An IPv4 address as it is; of an IPv6 address the /64 network, for that is
/// what one customer usually has.
fn network(ip: String) -> String {
    match ip.parse() {
        Ok(IpAddr::V6(a)) => {
            let s = a.segments();
            let hex = |n: u16| [n >> 12, n >> 8 & 15, n >> 4 & 15, n & 15];
            let digits = s[..4].iter().flat_map(|n| hex(*n));
            let mut out: String = digits.map(|d| char::from_digit(d as u32, 16).unwrap_or('0')).collect();
            out.push_str("/64");
            out
        }
        _ => ip,
    }
}
