// SPDX-License-Identifier: Apache-2.0

//! One `rule` block: conditions that must all hold, and where the mail goes.

use crate::facts::Facts;
use common::{all, bad, regexp, AddressList};
use postroad::net::Network;
use postroad::{Hook, Result, Scope, Value};
use regex_lite::Regex;

pub struct Rule {
    recipient: AddressList,
    sender: AddressList,
    client: Vec<Network>,
    header: String,
    meta: String,
    value: Option<Regex>, // of the header field or the note
    min_size: i64,
    max_size: i64,
    to: To,
}

enum To {
    Route(String),
    NextHop(String),
}

impl Rule {
    pub fn new(v: &Value) -> std::result::Result<Rule, String> {
        let addresses = |key: &str, domains: &str| {
            let mut patterns = v.texts(key);
            patterns.extend(v.texts(domains));
            AddressList::new(key, &patterns)
        };
        let (header, meta) = (v.text("header").to_string(), v.text("meta").to_string());
        if !header.is_empty() && !meta.is_empty() {
            return Err(bad("rule", &header, "usable beside meta: a rule has header or meta, for match is about one of them"));
        }
        let value = match v.text("match") {
            "" => None,
            re if header.is_empty() && meta.is_empty() => {
                return Err(bad("match", re, "usable without header or meta"));
            }
            re => Some(regexp("match", re, false)?),
        };
        Ok(Rule {
            recipient: addresses("recipient", "recipient_domain")?,
            sender: addresses("sender", "sender_domain")?,
            client: all(&v.texts("client"), |n| Network::parse(n).ok_or_else(|| bad("client", n, "a network")))?,
            header,
            meta,
            value,
            min_size: v.int("min_size").unwrap_or(0),
            max_size: v.int("max_size").filter(|n| *n > 0).unwrap_or(i64::MAX),
            to: To::new(v)?,
        })
    }

    /// Whether all conditions hold that are the same for every recipient; the
    /// cheap ones are asked first.
    pub fn message_matches(&self, f: &mut Facts) -> Result<bool> {
        if (self.min_size > 0 || self.max_size < i64::MAX) && !(self.min_size..=self.max_size).contains(&f.size()) {
            return Ok(false);
        }
        if !self.sender.is_empty() && !self.sender.matches(f.sender()?) {
            return Ok(false);
        }
        if !self.client.is_empty() {
            match f.client()? {
                Some(ip) if self.client.iter().any(|n| n.contains(ip)) => {}
                _ => return Ok(false),
            }
        }
        Ok(self.header_matches(f.h)? && self.meta_matches(f.h)?)
    }

    fn header_matches(&self, h: &Hook) -> Result<bool> {
        if self.header.is_empty() {
            return Ok(true);
        }
        let mut after = None;
        while let Some(id) = h.find_header(&self.header, after)? {
            match &self.value {
                Some(re) if !re.is_match(&h.header_value(id)?) => after = Some(id),
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    fn meta_matches(&self, h: &Hook) -> Result<bool> {
        if self.meta.is_empty() {
            return Ok(true);
        }
        Ok(match (h.meta(Scope::Message, &self.meta)?, &self.value) {
            (Some(v), Some(re)) => re.is_match(&v),
            (v, _) => v.is_some(),
        })
    }

    /// Whether the rule is for every recipient.
    pub fn takes_all(&self) -> bool {
        self.recipient.is_empty()
    }

    /// Whether the rule is for that recipient.
    pub fn takes(&self, address: &str) -> bool {
        self.takes_all() || self.recipient.matches(address)
    }

    pub fn apply(&self, h: &Hook, idx: usize) -> Result<()> {
        match &self.to {
            To::Route(name) => h.set_route(Some(idx), name),
            To::NextHop(hop) => h.set_next_hop(Some(idx), hop),
        }
    }
}

impl To {
    fn new(v: &Value) -> std::result::Result<To, String> {
        match (v.text("route"), v.text("next_hop")) {
            ("", "") => Err(bad("rule", "", "complete: it needs route or next_hop")),
            (r, "") => Ok(To::Route(r.to_string())),
            ("", n) => Ok(To::NextHop(n.to_string())),
            (r, _) => Err(bad("route", r, "usable beside next_hop: a rule has one of them")),
        }
    }
}
