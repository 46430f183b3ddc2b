// SPDX-License-Identifier: Apache-2.0

//! Regular expressions and lists of name patterns.

use crate::bad;
use postroad::glob::Glob;
use regex_lite::{Regex, RegexBuilder};

/// Octets that one compiled expression may need.
const MAX_COMPILED: usize = 256 << 10;

/// Compiles an expression (RE2 syntax, time linear in expression times text).
/// `key` names the configuration key in the error.
pub fn regexp(key: &str, text: &str, ignore_case: bool) -> Result<Regex, String> {
    let mut b = RegexBuilder::new(text);
    b.case_insensitive(ignore_case).size_limit(MAX_COMPILED);
    b.build().map_err(|_| bad(key, text, "a regular expression"))
}

/// The expression in a pattern that is written between slashes.
pub(crate) fn between_slashes(pattern: &str) -> Option<&str> {
    pattern.strip_prefix('/')?.strip_suffix('/').filter(|p| !p.is_empty())
}

/// Patterns for names, such as those of attachments: `*.exe` with `*` and `?`,
/// or `/regexp/`. Case does not matter.
#[derive(Default)]
pub struct NameList {
    globs: Vec<Glob>,
    regexps: Vec<Regex>,
}

impl NameList {
    /// Reads patterns; `key` names the configuration key in the error.
    pub fn new(key: &str, patterns: &[&str]) -> Result<NameList, String> {
        let mut l = NameList::default();
        for p in patterns {
            match between_slashes(p) {
                Some(re) => l.regexps.push(regexp(key, re, true)?),
                None => l.globs.push(Glob::new(p)),
            }
        }
        Ok(l)
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.globs.is_empty() && self.regexps.is_empty()
    }

    /// Whether a pattern matches the name.
    pub fn matches(&self, name: &str) -> bool {
        self.globs.iter().any(|g| g.matches(name)) || self.regexps.iter().any(|r| r.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let l = NameList::new("k", &["*.exe", r"/\.(scr|pif)$/"]).unwrap();
        assert!(l.matches("Setup.EXE") && l.matches("a.Scr"));
        assert!(!l.matches("a.exe.txt") && !l.matches("scr"));
        assert!(NameList::new("k", &["/(/"]).is_err());
    }

    #[test]
    fn compiled_size_is_bounded() {
        assert!(regexp("k", "(((a{100}){100}){100})", false).is_err());
    }
}
