// SPDX-License-Identifier: Apache-2.0

//! A Postroad plugin in Rust: it greets in every message.

use postroad::{plugin, Hook, Phases, Place, Plugin, Result, Value, Verdict};

struct Hello;

impl Plugin for Hello {
    fn new(_config: &Value) -> std::result::Result<Self, String> { Ok(Hello) }
    fn phases(&self) -> Phases { Phases::MESSAGE }
    fn message(&mut self, h: &Hook) -> Result<Verdict> {
        h.add_header(Place::Top, "X-Hello", "from Rust")?;
        Ok(Verdict::Continue)
    }
}

plugin!(Hello);
