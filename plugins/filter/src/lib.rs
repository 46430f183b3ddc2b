// SPDX-License-Identifier: Apache-2.0

//! Allow and deny lists by client, sender, recipient, header field and
//! attachment name. What it does and how it is configured: README.md.

mod config;
mod headers;

use common::AddressList;
use config::{Action, Config};
use postroad::net::{Ip, Network};
use postroad::{log, log_on, plugin, Field, Hook, Level, PartField, Phases, Plugin, Result, Value, Verdict};

struct Filter(Config);

plugin!(Filter);

/// A pattern of the configuration that matched: the key it stands under, the
/// action and the reply text.
struct Hit<'a> {
    key: &'static str,
    what: &'a str,
    action: Action,
    text: &'a str,
}

impl Plugin for Filter {
    fn new(config: &Value) -> std::result::Result<Self, String> {
        Config::new(config).map(Filter)
    }

    fn phases(&self) -> Phases {
        let c = &self.0;
        let early = c.action.at_smtp() && c.denies_session();
        Phases::NONE
            .with(Phases::MAIL, early && c.allow_recipient.is_empty())
            .with(Phases::RCPT, early && !c.allow_recipient.is_empty())
            .with(Phases::RCPT, c.action.at_rcpt() && !c.deny_recipient.is_empty())
            .with(Phases::MESSAGE, c.denies_content())
            .with(Phases::MESSAGE, !c.action.at_smtp() && c.denies_session())
            .with(Phases::MESSAGE, !c.action.at_rcpt() && !c.deny_recipient.is_empty())
    }

    fn mail(&mut self, h: &Hook) -> Result<Verdict> {
        match self.session(h, true)? {
            Session::Denied(hit) => hit.verdict(h),
            _ => Ok(Verdict::Continue),
        }
    }

    /// Client and sender are judged here when some recipients are allowed
    /// whoever writes to them; otherwise mail did it.
    fn rcpt(&mut self, h: &Hook, idx: usize) -> Result<Verdict> {
        let c = &self.0;
        let address = h.recipient(idx)?.unwrap_or_default();
        if c.allow_recipient.matches(&address) {
            return Ok(Verdict::Continue);
        }
        let here = !c.allow_recipient.is_empty() && c.action.at_smtp();
        let denied = match self.session(h, here)? {
            Session::Allowed => None,
            Session::Denied(hit) => Some(hit),
            Session::Unknown => self.recipient(&address).filter(|hit| hit.action.at_rcpt()),
        };
        match denied {
            Some(hit) => hit.verdict(h),
            None => Ok(Verdict::Continue),
        }
    }

    fn message(&mut self, h: &Hook) -> Result<Verdict> {
        let hit = match self.session(h, !self.0.action.at_smtp())? {
            Session::Allowed => return Ok(Verdict::Continue),
            Session::Denied(hit) => Some(hit),
            Session::Unknown => self.content(h)?,
        };
        match hit {
            Some(hit) => self.deny(h, &hit),
            None => self.recipients(h),
        }
    }
}

enum Session<'a> {
    Allowed,
    Denied(Hit<'a>),
    Unknown,
}

impl Filter {
    /// Judges client and sender: by the allow lists, and by the deny lists when
    /// `deny` says so. Lists that are empty cost no call of the host.
    fn session(&self, h: &Hook, deny: bool) -> Result<Session> {
        let c = &self.0;
        let ip = match !c.allow_client.is_empty() || deny && !c.deny_client.is_empty() {
            true => h.get(Field::ClientIp)?.and_then(|t| Ip::parse(&t)),
            false => None,
        };
        let in_any = |list: &[Network]| ip.map_or(false, |ip| list.iter().any(|n| n.contains(ip)));
        if in_any(&c.allow_client) {
            return Ok(Session::Allowed);
        }
        let sender = match !c.allow_sender.is_empty() || deny && !c.deny_sender.is_empty() {
            true => Some(h.sender()?),
            false => None,
        };
        let on = |list: &AddressList| sender.as_ref().map_or(false, |s| list.matches(s));
        if on(&c.allow_sender) {
            return Ok(Session::Allowed);
        }
        if deny && in_any(&c.deny_client) {
            return Ok(Session::Denied(self.hit("deny_client", "client refused")));
        }
        if deny && on(&c.deny_sender) {
            return Ok(Session::Denied(self.hit("deny_sender", "sender refused")));
        }
        Ok(Session::Unknown)
    }

    fn recipient(&self, address: &str) -> Option<Hit> {
        if !self.0.deny_recipient.matches(address) {
            return None;
        }
        Some(self.hit("deny_recipient", "recipient refused"))
    }

    /// Judges header fields and attachment names.
    fn content(&self, h: &Hook) -> Result<Option<Hit>> {
        let c = &self.0;
        if headers::first(h, &c.allow_header)?.is_some() {
            return Ok(None);
        }
        if let Some(rule) = headers::first(h, &c.deny_header)? {
            let text = if rule.text.is_empty() { c.text_or("message refused") } else { &rule.text };
            return Ok(Some(Hit { key: "deny_header", what: &rule.name, action: rule.action, text }));
        }
        if self.bad_attachment(h)? {
            return Ok(Some(self.hit("deny_attachment", "attachment of this type refused")));
        }
        Ok(None)
    }

    fn bad_attachment(&self, h: &Hook) -> Result<bool> {
        if self.0.deny_attachment.is_empty() {
            return Ok(false);
        }
        for i in 0..h.part_count()? {
            if let Some(name) = h.part(i, PartField::Filename)? {
                if self.0.deny_attachment.matches(bare(&name)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Applies a hit to the recipients that are not allowed whatever comes.
    fn deny(&self, h: &Hook, hit: &Hit) -> Result<Verdict> {
        let allow = &self.0.allow_recipient;
        if allow.is_empty() {
            return hit.verdict(h);
        }
        hit.log();
        for i in 0..h.recipient_count() {
            if let Some(a) = h.recipient(i)? {
                if !allow.matches(&a) {
                    hit.recipient(h, i)?;
                }
            }
        }
        Ok(Verdict::Continue)
    }

    /// Denies single recipients with an action that phase rcpt does not have.
    fn recipients(&self, h: &Hook) -> Result<Verdict> {
        let c = &self.0;
        if c.action.at_rcpt() || c.deny_recipient.is_empty() {
            return Ok(Verdict::Continue);
        }
        for i in 0..h.recipient_count() {
            let a = match h.recipient(i)? {
                Some(a) if !c.allow_recipient.matches(&a) => a,
                _ => continue,
            };
            if let Some(hit) = self.recipient(&a) {
                hit.log();
                hit.recipient(h, i)?;
            }
        }
        Ok(Verdict::Continue)
    }

    fn hit<'a>(&'a self, key: &'static str, text: &'static str) -> Hit<'a> {
        Hit { key, what: "", action: self.0.action, text: self.0.text_or(text) }
    }
}

impl Hit<'_> {
    /// Denies the message, or in phase rcpt the recipient.
    fn verdict(&self, h: &Hook) -> Result<Verdict> {
        self.log();
        match self.action {
            Action::Reject => h.reject(self.text),
            Action::Tempfail => h.tempfail(self.text),
            other => {
                h.reply(self.reply())?;
                Ok(other.verdict())
            }
        }
    }

    fn recipient(&self, h: &Hook, idx: usize) -> Result<()> {
        h.recipient_verdict(idx, self.action.verdict(), Some(self.reply()))
    }

    fn reply(&self) -> postroad::Reply {
        let (code, enhanced) = match self.action {
            Action::Tempfail => (451, [4, 7, 1]),
            _ => (550, [5, 7, 1]),
        };
        postroad::Reply { code, enhanced, text: self.text }
    }

    fn log(&self) {
        if log_on(Level::Info) {
            log(Level::Info, &[self.action.name(), " by ", self.key, " ", self.what].concat());
        }
    }
}

/// A file name without what Windows ignores at its end.
fn bare(name: &str) -> &str {
    name.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}
