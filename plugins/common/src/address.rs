// SPDX-License-Identifier: Apache-2.0

//! Lists of mail addresses.

use crate::pattern::{between_slashes, regexp};
use postroad::glob::Glob;
use regex_lite::Regex;
use std::collections::HashSet;

/// The part of an address behind the last `@`, as written; empty if none.
pub fn domain(address: &str) -> &str {
    match address.rfind('@') {
        Some(i) => &address[i + 1..],
        None => "",
    }
}

/// The part of an address before the last `@`, as written.
pub fn local(address: &str) -> &str {
    match address.rfind('@') {
        Some(i) => &address[..i],
        None => address,
    }
}

/// Patterns for addresses. Case does not matter (ASCII):
///
/// | pattern | matches |
/// |---|---|
/// | `joe@example.org` | that address |
/// | `example.org`, `@example.org` | every address of the domain |
/// | `.example.org` | every address of its subdomains |
/// | `news-*@example.org` | `*` is any run of characters, `?` one |
/// | `/^bounce-[0-9]+@/` | the regular expression |
/// | `<>` | the null sender |
///
/// Addresses and domains are looked up by hash: long lists are cheap.
#[derive(Default)]
pub struct AddressList {
    exact: HashSet<String>, // addresses, domains, and domains with a dot in front
    parents: bool,          // there are some of the last kind
    globs: Vec<Glob>,
    regexps: Vec<Regex>,
    null: bool,
}

impl AddressList {
    /// Reads patterns; `key` names the configuration key in the error.
    pub fn new(key: &str, patterns: &[&str]) -> Result<AddressList, String> {
        let mut l = AddressList::default();
        for p in patterns {
            l.add(key, p)?;
        }
        Ok(l)
    }

    fn add(&mut self, key: &str, pattern: &str) -> Result<(), String> {
        if let Some(re) = between_slashes(pattern) {
            self.regexps.push(regexp(key, re, true)?);
            return Ok(());
        }
        let p = pattern.to_ascii_lowercase();
        if p == "<>" {
            self.null = true;
        } else if p.contains('*') || p.contains('?') {
            self.globs.push(Glob::new(&p));
        } else {
            self.parents |= p.starts_with('.');
            self.exact.insert(p.strip_prefix('@').unwrap_or(&p).to_string());
        }
        Ok(())
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.exact.len() + self.globs.len() + self.regexps.len() == 0 && !self.null
    }

    /// Whether a pattern matches the address; the empty address is the null
    /// sender.
    pub fn matches(&self, address: &str) -> bool {
        if address.is_empty() {
            return self.null;
        }
        let a = address.to_ascii_lowercase();
        let d = domain(&a);
        self.exact.contains(&a)
            || self.exact.contains(d)
            || self.parent_of(d)
            || self.globs.iter().any(|g| g.matches(&a))
            || self.regexps.iter().any(|r| r.is_match(&a))
    }

    /// Whether a listed domain has `d` below it.
    fn parent_of(&self, d: &str) -> bool {
        self.parents && d.match_indices('.').any(|(i, _)| i > 0 && self.exact.contains(&d[i..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (p, a, want) in [
            ("joe@example.org", "Joe@Example.ORG", true),
            ("joe@example.org", "ajoe@example.org", false),
            ("example.org", "joe@example.org", true),
            ("@example.org", "joe@example.org", true),
            ("example.org", "joe@mx.example.org", false),
            (".example.org", "joe@mx.example.org", true),
            (".example.org", "joe@a.b.example.org", true),
            (".example.org", "joe@example.org", false),
            (".example.org", "joe@badexample.org", false),
            ("news-*@example.org", "news-7@example.org", true),
            ("news-*@example.org", "news@example.org", false),
            ("/^bounce-[0-9]+@/", "BOUNCE-12@x.test", true),
            ("/^bounce-[0-9]+@/", "bounce-@x.test", false),
            ("<>", "", true),
            ("*", "", false),
            ("*", "a@b", true),
            ("example.org", "\"a@b\"@example.org", true),
        ] {
            let l = AddressList::new("k", &[p]).unwrap();
            assert_eq!(l.matches(a), want, "{} {}", p, a);
        }
    }

    #[test]
    fn long_lists() {
        let many: Vec<String> = (0..1000).map(|i| format!("u{}@d{}.test", i * 7919 % 1000, i % 10)).collect();
        let refs: Vec<&str> = many.iter().map(|s| s.as_str()).collect();
        let l = AddressList::new("k", &refs).unwrap();
        assert!(refs.iter().all(|a| l.matches(a)) && !l.matches("u1000@d0.test"));
    }

    #[test]
    fn parts() {
        assert_eq!((local("a@b@c"), domain("a@b@c")), ("a@b", "c"));
        assert_eq!((local("x"), domain("x")), ("x", ""));
    }
}
