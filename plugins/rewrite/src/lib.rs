// SPDX-License-Identifier: Apache-2.0

//! Changes header fields, envelope addresses, subject and body. What it does
//! and how it is configured: README.md.

mod address;
mod expand;
mod footer;
mod headers;
mod mime;
mod subject;

use address::Maps;
use footer::Footer;
use headers::Headers;
use postroad::{plugin, Hook, Phases, Plugin, Result, Value, Verdict};
use subject::Tag;

struct Rewrite {
    sender: Maps,
    recipient: Maps,
    headers: Headers,
    tag: Option<Tag>,
    footer: Option<Footer>,
}

plugin!(Rewrite);

impl Plugin for Rewrite {
    fn new(config: &Value) -> std::result::Result<Self, String> {
        let lower = config.flag("lowercase_domain");
        Ok(Rewrite {
            sender: Maps::new("map_sender", config, lower, "")?,
            recipient: Maps::new("map_recipient", config, lower, config.text("recipient_delimiter"))?,
            headers: Headers::new(config)?,
            tag: Tag::new(config)?,
            footer: Footer::new(config)?,
        })
    }

    fn phases(&self) -> Phases {
        let content = !self.headers.is_empty() || self.tag.is_some() || self.footer.is_some();
        Phases::NONE
            .with(Phases::MAIL, !self.sender.is_empty())
            .with(Phases::RCPT, !self.recipient.is_empty())
            .with(Phases::MESSAGE, content)
    }

    fn mail(&mut self, h: &Hook) -> Result<Verdict> {
        let sender = h.sender()?;
        if let Some(a) = self.sender.apply(&sender) {
            address::set(&sender, &a, h.set_sender(&a))?;
        }
        Ok(Verdict::Continue)
    }

    fn rcpt(&mut self, h: &Hook, idx: usize) -> Result<Verdict> {
        let recipient = h.recipient(idx)?.unwrap_or_default();
        if let Some(a) = self.recipient.apply(&recipient) {
            address::set(&recipient, &a, h.set_recipient(idx, &a))?;
        }
        Ok(Verdict::Continue)
    }

    fn message(&mut self, h: &Hook) -> Result<Verdict> {
        self.headers.apply(h)?;
        if let Some(t) = &self.tag {
            t.apply(h)?;
        }
        if let Some(f) = &self.footer {
            f.apply(h)?;
        }
        Ok(Verdict::Continue)
    }
}
