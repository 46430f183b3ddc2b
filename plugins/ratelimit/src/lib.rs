// SPDX-License-Identifier: Apache-2.0

//! Limits per client, sender, recipient or user, on token buckets of the host,
//! so that all instances and a restart share one state. What it does and how it
//! is configured: README.md.

mod key;
mod limit;

use limit::Limit;
use postroad::{log, log_on, plugin, Hook, Level, Phases, Plugin, Result, Value, Verdict};

struct RateLimit {
    per_message: Vec<Limit>,
    per_recipient: Vec<Limit>,
}

plugin!(RateLimit);

impl Plugin for RateLimit {
    fn new(config: &Value) -> std::result::Result<Self, String> {
        let (mut per_message, mut per_recipient) = (Vec::new(), Vec::new());
        for v in config.list("limit") {
            let l = Limit::new(v)?;
            match l.per_recipient {
                true => per_recipient.push(l),
                false => per_message.push(l),
            }
        }
        Ok(RateLimit { per_message, per_recipient })
    }

    fn phases(&self) -> Phases {
        Phases::NONE
            .with(Phases::MAIL, !self.per_message.is_empty())
            .with(Phases::RCPT, !self.per_recipient.is_empty())
    }

    fn mail(&mut self, h: &Hook) -> Result<Verdict> {
        apply(h, &self.per_message, None)
    }

    fn rcpt(&mut self, h: &Hook, idx: usize) -> Result<Verdict> {
        apply(h, &self.per_recipient, Some(idx))
    }
}

/// Takes from each limit's bucket in order and stops at the first that is
/// empty.
fn apply(h: &Hook, limits: &[Limit], rcpt: Option<usize>) -> Result<Verdict> {
    for l in limits {
        let key = match l.key.of(h, rcpt)? {
            Some(k) => k,
            None => continue,
        };
        let t = l.bucket.take(&key, l.cost)?;
        if !t.allowed {
            if log_on(Level::Info) {
                log(Level::Info, &["limit reached: ", &key].concat());
            }
            return l.refuse(h, t.wait_ms);
        }
    }
    Ok(Verdict::Continue)
}
