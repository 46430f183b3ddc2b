// SPDX-License-Identifier: Apache-2.0

//! Rules about header fields.

use crate::config::Action;
use common::{bad, regexp};
use postroad::{Hook, Result, Value};
use regex_lite::Regex;

/// A header field, and what its value must match.
pub struct Rule {
    pub name: String,
    value: Option<Regex>, // none: the field's presence is enough
    pub action: Action,
    pub text: String,
}

impl Rule {
    pub fn new(key: &str, v: &Value, usual: Action) -> std::result::Result<Rule, String> {
        let name = v.text("name");
        if name.is_empty() {
            return Err(bad(key, name, "complete: it needs the name of a header field"));
        }
        let value = match v.text("match") {
            "" => None,
            re => Some(regexp(key, re, false)?),
        };
        Ok(Rule {
            name: name.to_string(),
            value,
            action: Action::new(v.text("action"), usual)?,
            text: v.text("text").to_string(),
        })
    }

    fn matches(&self, h: &Hook) -> Result<bool> {
        let mut after = None;
        while let Some(id) = h.find_header(&self.name, after)? {
            match &self.value {
                Some(re) if !re.is_match(&h.header_value(id)?) => after = Some(id),
                _ => return Ok(true),
            }
        }
        Ok(false)
    }
}

/// The first rule that the message matches.
pub fn first<'a>(h: &Hook, rules: &'a [Rule]) -> Result<Option<&'a Rule>> {
    for r in rules {
        if r.matches(h)? {
            return Ok(Some(r));
        }
    }
    Ok(None)
}
