// SPDX-License-Identifier: Apache-2.0

//! The subject tag.

use crate::headers::{fits, one_line};
use crate::mime::find;
use common::bad;
use postroad::{abi, lossy, Hook, Place, Result, Value};

/// Text to put in front of the subject.
pub struct Tag(String);

impl Tag {
    pub fn new(v: &Value) -> std::result::Result<Option<Tag>, String> {
        let t = v.text("subject_tag");
        if t.len() > 200 || t.contains(|c: char| c.is_control()) {
            return Err(bad("subject_tag", t, "a short line of text"));
        }
        Ok(Some(Tag(t.to_string())).filter(|t| !t.0.is_empty()))
    }

    /// Tags the subject unless the tag is somewhere in it already, as in a
    /// reply. Encoded words behind the tag stay as they are.
    pub fn apply(&self, h: &Hook) -> Result<()> {
        let id = match h.find_header("Subject", None)? {
            Some(id) => id,
            None => return fits("Subject", h.add_header(Place::End, "Subject", &self.0).map(|_| ())),
        };
        if find(h.header_value(id)?.as_bytes(), self.0.as_bytes()).is_some() {
            return Ok(());
        }
        let old = lossy(h.header_part(id, abi::HDR_UNFOLDED)?);
        fits("Subject", h.set_header(id, &self.in_front_of(&one_line(&old))))
    }

    /// A tag that needs encoding becomes words of its own, so that the words
    /// behind it are not encoded twice. White space between two encoded words is
    /// not displayed (RFC 2047 §6.2), so the blank goes into the tag's then.
    fn in_front_of(&self, subject: &str) -> String {
        if !subject.is_ascii() || self.0.is_ascii() {
            return [&self.0, " ", subject].concat();
        }
        let blank = if subject.starts_with("=?") { " " } else { "" };
        [&postroad::header::encode(&[&self.0, blank].concat()), " ", subject].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for (tag, subject, want) in [
            ("[a]", "b", "[a] b"),
            ("[a]", "=?utf-8?q?=C3=A9?=", "[a] =?utf-8?q?=C3=A9?="),
            ("é", "b", "=?utf-8?q?=C3=A9?= b"),
            ("é", "=?utf-8?q?b?=", "=?utf-8?q?=C3=A9_?= =?utf-8?q?b?="),
            ("é", "ü", "é ü"),
        ] {
            assert_eq!(Tag(tag.to_string()).in_front_of(subject), want);
        }
    }
}
