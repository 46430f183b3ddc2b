// SPDX-License-Identifier: Apache-2.0

//! One `limit` block.

use crate::key::Key;
use postroad::json::push_int;
use postroad::{Bucket, Hook, Reply, Result, Value, Verdict};

pub struct Limit {
    pub key: Key,
    pub bucket: Bucket,
    pub cost: u32,
    pub per_recipient: bool,
    reject: bool,
    text: String,
}

impl Limit {
    pub fn new(v: &Value) -> std::result::Result<Limit, String> {
        let key = Key::new(v.text("key"))?;
        let name = v.text("bucket");
        let bucket = Bucket::open(name).map_err(|e| ["limit: bucket \"", name, "\": ", e.text()].concat())?;
        Ok(Limit {
            key,
            bucket,
            cost: v.int("cost").unwrap_or(1).clamp(1, 1_000_000) as u32,
            per_recipient: key.needs_recipient() || v.text("per") == "recipient",
            reject: v.text("action") == "reject",
            text: v.text("text").to_string(),
        })
    }

    /// The verdict for what is over the limit.
    pub fn refuse(&self, h: &Hook, wait_ms: i64) -> Result<Verdict> {
        let text = match self.text.is_empty() {
            true => usual(self.reject, wait_ms),
            false => self.text.clone(),
        };
        if self.reject {
            h.reply(Reply { code: 550, enhanced: [5, 7, 1], text: &text })?;
            return Ok(Verdict::Reject);
        }
        h.reply(Reply { code: 451, enhanced: [4, 7, 1], text: &text })?;
        Ok(Verdict::Tempfail)
    }
}

/// Says how long to wait, in whole seconds, at least one.
fn usual(reject: bool, wait_ms: i64) -> String {
    let mut s = String::from("rate limit reached");
    if !reject {
        s.push_str(", try again in ");
        push_int(&mut s, (wait_ms.max(0) + 999) / 1000 + (wait_ms <= 0) as i64);
        s.push_str(" s");
    }
    s
}
