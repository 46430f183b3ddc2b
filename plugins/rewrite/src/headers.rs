// SPDX-License-Identifier: Apache-2.0

//! Rules that delete, replace, set and add header fields, in this order.

use crate::expand::Template;
use common::{all, bad, regexp};
use postroad::glob::Glob;
use postroad::{log, Error, HeaderId, Hook, Level, Place, Result, Value};
use regex_lite::Regex;

pub struct Headers {
    delete: Vec<Delete>,
    replace: Vec<Replace>,
    set: Vec<Set>,
    add: Vec<Add>,
}

struct Delete {
    name: String,
    glob: Option<Glob>, // when the name is a pattern
    value: Option<Regex>,
}

struct Replace {
    name: String,
    value: Regex,
    with: String,
}

struct Set {
    name: String,
    value: Template,
}

struct Add {
    name: String,
    value: Template,
    place: Place,
}

impl Headers {
    pub fn new(v: &Value) -> std::result::Result<Headers, String> {
        Ok(Headers {
            delete: all(v.list("delete_header"), Delete::new)?,
            replace: all(v.list("replace_header"), Replace::new)?,
            set: all(v.list("set_header"), |v| Ok(Set { name: name("set_header", v)?, value: value("set_header", v)? }))?,
            add: all(v.list("add_header"), Add::new)?,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.replace.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    pub fn apply(&self, h: &Hook) -> Result<()> {
        self.delete.iter().try_for_each(|d| d.apply(h))?;
        self.replace.iter().try_for_each(|r| r.apply(h))?;
        self.set.iter().try_for_each(|s| s.apply(h))?;
        self.add.iter().try_for_each(|a| a.apply(h))
    }
}

impl Delete {
    fn new(v: &Value) -> std::result::Result<Delete, String> {
        let name = v.text("name");
        if name.is_empty() {
            return Err(bad("delete_header", name, "the name of a header field"));
        }
        let value = match v.text("match") {
            "" => None,
            re => Some(regexp("delete_header", re, false)?),
        };
        let glob = name.contains(|c| c == '*' || c == '?').then(|| Glob::new(name));
        Ok(Delete { name: name.to_string(), glob, value })
    }

    fn apply(&self, h: &Hook) -> Result<()> {
        let find = if self.glob.is_some() { "" } else { &self.name };
        let mut found = Vec::new();
        let mut at = h.find_header(find, None)?;
        while let Some(id) = at {
            if self.matches(h, id)? {
                found.push(id);
            }
            at = h.find_header(find, Some(id))?;
        }
        found.into_iter().try_for_each(|id| permitted(h.delete_header(id)))
    }

    fn matches(&self, h: &Hook, id: HeaderId) -> Result<bool> {
        if let Some(g) = &self.glob {
            if !g.matches(&h.header_name(id)?) {
                return Ok(false);
            }
        }
        match &self.value {
            Some(re) => Ok(re.is_match(&h.header_value(id)?)),
            None => Ok(true),
        }
    }
}

impl Replace {
    fn new(v: &Value) -> std::result::Result<Replace, String> {
        Ok(Replace {
            name: name("replace_header", v)?,
            value: regexp("replace_header", v.text("match"), false)?,
            with: v.text("with").to_string(),
        })
    }

    fn apply(&self, h: &Hook) -> Result<()> {
        let mut at = h.find_header(&self.name, None)?;
        while let Some(id) = at {
            let old = h.header_value(id)?;
            if self.value.is_match(&old) {
                let new = self.value.replace_all(&old, self.with.as_str());
                fits(&self.name, h.set_header(id, &one_line(&new)))?;
            }
            at = h.find_header(&self.name, Some(id))?;
        }
        Ok(())
    }
}

impl Set {
    /// Leaves one field of that name: the first takes the value, others go.
    fn apply(&self, h: &Hook) -> Result<()> {
        let value = one_line(&self.value.expand(h)?);
        let first = match h.find_header(&self.name, None)? {
            Some(id) => id,
            None => return fits(&self.name, h.add_header(Place::Top, &self.name, &value).map(|_| ())),
        };
        fits(&self.name, h.set_header(first, &value))?;
        while let Some(id) = h.find_header(&self.name, Some(first))? {
            h.delete_header(id)?;
        }
        Ok(())
    }
}

impl Add {
    fn new(v: &Value) -> std::result::Result<Add, String> {
        let place = match v.text("place") {
            "" | "top" => Place::Top,
            "end" => Place::End,
            other => return Err(bad("add_header", other, "a place: top or end")),
        };
        Ok(Add { name: name("add_header", v)?, value: value("add_header", v)?, place })
    }

    fn apply(&self, h: &Hook) -> Result<()> {
        let value = one_line(&self.value.expand(h)?);
        fits(&self.name, h.add_header(self.place, &self.name, &value).map(|_| ()))
    }
}

/// A name that a field can have (RFC 5322 §2.2).
fn name(key: &str, v: &Value) -> std::result::Result<String, String> {
    let n = v.text("name");
    if n.is_empty() || n.len() > 76 || !n.bytes().all(|c| (b'!'..=b'~').contains(&c) && c != b':') {
        return Err(bad(key, n, "the name of a header field"));
    }
    Ok(n.to_string())
}

fn value(key: &str, v: &Value) -> std::result::Result<Template, String> {
    let t = v.text("value");
    if t.contains(|c: char| c.is_control()) {
        return Err(bad(key, t, "one line of text"));
    }
    Ok(Template::new(t))
}

/// Text without control characters: what comes out of an encoded word or a
/// fact must not be able to end a line.
pub fn one_line(s: &str) -> String {
    s.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value that does not fit into a header field, because the message made it
/// too long, leaves the field as it was.
pub fn fits(name: &str, edit: Result<()>) -> Result<()> {
    match edit {
        Err(Error::BAD_ARGUMENT) => {
            log(Level::Warn, &["value does not fit, left as it was: ", name].concat());
            Ok(())
        }
        r => permitted(r),
    }
}

/// Postroad's own Received field cannot be changed; a pattern that covers it is
/// not an error.
fn permitted(edit: Result<()>) -> Result<()> {
    match edit {
        Err(Error::DENIED) => Ok(()),
        r => r,
    }
}
