// SPDX-License-Identifier: Apache-2.0

//! Mapping of envelope addresses: rules first, then canonical form.

use crate::mime::find;
use common::{bad, domain, local, regexp};
use postroad::glob::Glob;
use postroad::{log, Error, Level, Result, Value};
use regex_lite::Regex;

/// The maps for senders or recipients.
pub struct Maps {
    rules: Vec<Map>,
    lowercase_domain: bool,
    delimiter: String, // what begins an address extension; empty: none
}

/// One `map_…` block: the first whose pattern matches is applied.
struct Map {
    from: From,
    to: String,
}

enum From {
    Pattern(Glob),
    Regexp(Regex),
}

impl Maps {
    pub fn new(key: &str, v: &Value, lowercase_domain: bool, delimiter: &str) -> std::result::Result<Maps, String> {
        let rules = common::all(v.list(key), |m| Map::new(key, m))?;
        Ok(Maps { rules, lowercase_domain, delimiter: delimiter.to_string() })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && !self.lowercase_domain && self.delimiter.is_empty()
    }

    /// The new address, `None` when it stays. The null sender always stays.
    pub fn apply(&self, address: &str) -> Option<String> {
        if address.is_empty() {
            return None;
        }
        let mapped = self.rules.iter().find_map(|m| m.apply(address));
        let a = self.canonical(mapped.as_deref().unwrap_or(address));
        Some(a).filter(|a| a != address)
    }

    fn canonical(&self, address: &str) -> String {
        let (mut l, mut d) = (local(address), domain(address).to_string());
        if !self.delimiter.is_empty() && !l.starts_with('"') {
            if let Some(i) = find(l.as_bytes(), self.delimiter.as_bytes()).filter(|i| *i > 0) {
                l = &l[..i];
            }
        }
        if self.lowercase_domain {
            d.make_ascii_lowercase();
        }
        [l, "@", &d].concat()
    }
}

impl Map {
    fn new(key: &str, v: &Value) -> std::result::Result<Map, String> {
        let (from, to) = (v.text("from"), v.text("to"));
        if from.is_empty() || !to.contains('@') {
            return Err(bad(key, to, "an address or @domain to map to"));
        }
        let inner = from.strip_prefix('/').and_then(|f| f.strip_suffix('/')).filter(|f| !f.is_empty());
        let from = match inner {
            Some(re) => From::Regexp(regexp(key, re, true)?),
            None => From::Pattern(pattern(from)),
        };
        Ok(Map { from, to: to.to_string() })
    }

    fn apply(&self, address: &str) -> Option<String> {
        match &self.from {
            From::Pattern(p) if p.matches(address) => Some(match self.to.starts_with('@') {
                true => [local(address), &self.to].concat(),
                false => self.to.clone(),
            }),
            From::Regexp(re) if re.is_match(address) => Some(re.replace(address, self.to.as_str()).into_owned()),
            _ => None,
        }
    }
}

/// The patterns of the address lists as shell patterns: a domain stands for all
/// its addresses, one with a dot in front for those of its subdomains.
fn pattern(from: &str) -> Glob {
    let prefix = match from {
        f if f.starts_with('@') => "*",
        f if f.starts_with('.') => "*@*",
        f if f.contains('@') => "",
        _ => "*@",
    };
    Glob::new(&[prefix, from].concat())
}

/// Says in the log what an edit did. An address that a rule made and the host
/// refuses leaves the old one in place: mail is not lost to a rule that makes
/// nonsense of one address in a thousand.
pub fn set(old: &str, new: &str, edit: Result<()>) -> Result<()> {
    match edit {
        Err(Error::BAD_ARGUMENT) => {
            log(Level::Warn, &["not an address, left as it was: ", new, " for ", old].concat());
            Ok(())
        }
        r => r,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(config: &str) -> Maps {
        let v = postroad::json::parse(config.as_bytes()).unwrap();
        Maps::new("map", &v, v.flag("lower"), v.text("delimiter")).unwrap()
    }

    fn apply(config: &str, address: &str) -> String {
        maps(config).apply(address).unwrap_or_else(|| "-".to_string())
    }

    #[test]
    fn mapping() {
        let domains = r#"{"map": [{"from": "@old.test", "to": "@new.test"}]}"#;
        assert_eq!(apply(domains, "Joe@OLD.test"), "Joe@new.test");
        assert_eq!(apply(domains, "joe@x.test"), "-");
        let exact = r#"{"map": [{"from": "a@x.test", "to": "b@y.test"}, {"from": "*@x.test", "to": "all@y.test"}]}"#;
        assert_eq!(apply(exact, "A@x.test"), "b@y.test");
        assert_eq!(apply(exact, "c@x.test"), "all@y.test");
        assert_eq!(apply(r#"{"map": [{"from": ".x.test", "to": "@x.test"}]}"#, "a@mx.x.test"), "a@x.test");
        assert_eq!(apply(r#"{"map": [{"from": "x.test", "to": "@y.test"}]}"#, "a@x.test"), "a@y.test");
        let regexp = r#"{"map": [{"from": "/^(.*)-list@lists[.](.*)$/", "to": "$1@$2"}]}"#;
        assert_eq!(apply(regexp, "go-list@lists.x.test"), "go@x.test");
    }

    #[test]
    fn canonical_form() {
        let c = r#"{"lower": true, "delimiter": "+"}"#;
        assert_eq!(apply(c, "Joe+news@X.TEST"), "Joe@x.test");
        assert_eq!(apply(c, "joe@x.test"), "-");
        assert_eq!(apply(c, "+joe@x.test"), "-");
        assert_eq!(apply(c, "\"a+b\"@x.test"), "-");
        assert_eq!(apply(c, ""), "-");
    }
}
