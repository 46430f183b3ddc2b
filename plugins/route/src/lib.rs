// SPDX-License-Identifier: Apache-2.0

//! Chooses a route or next hop per recipient by rules on envelope, header, size
//! and meta. What it does and how it is configured: README.md.

mod facts;
mod rule;

use facts::Facts;
use postroad::{plugin, Hook, Phases, Plugin, Result, Value, Verdict};
use rule::Rule;

struct Route(Vec<Rule>);

plugin!(Route);

impl Plugin for Route {
    fn new(config: &Value) -> std::result::Result<Self, String> {
        common::all(config.list("rule"), Rule::new).map(Route)
    }

    fn phases(&self) -> Phases {
        Phases::NONE.with(Phases::MESSAGE, !self.0.is_empty())
    }

    /// Each recipient takes the first rule that matches; without one, the
    /// routing block of pipeline.hcl decides.
    fn message(&mut self, h: &Hook) -> Result<Verdict> {
        let mut facts = Facts::new(h);
        let candidates = self.candidates(&mut facts)?;
        if candidates.is_empty() {
            return Ok(Verdict::Continue);
        }
        for i in 0..h.recipient_count() {
            if let Some(address) = h.recipient(i)? {
                if let Some(r) = candidates.iter().find(|r| r.takes(&address)) {
                    r.apply(h, i)?;
                }
            }
        }
        Ok(Verdict::Continue)
    }
}

impl Route {
    /// The rules whose conditions on the message hold, up to the first that
    /// takes every recipient: what is the same for all recipients is asked once.
    fn candidates(&self, facts: &mut Facts) -> Result<Vec<&Rule>> {
        let mut found = Vec::new();
        for r in &self.0 {
            if r.message_matches(facts)? {
                found.push(r);
                if r.takes_all() {
                    break;
                }
            }
        }
        Ok(found)
    }
}
