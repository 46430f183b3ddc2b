// SPDX-License-Identifier: Apache-2.0

//! A footer under the text of a message. Only one part is touched: the text/plain
//! body, or in a multipart message the first part on the way down through first
//! parts. Signed and encrypted messages, attachments, base64 and charsets that
//! cannot hold the text are left alone.

use crate::mime::{find, first_part, ContentType, PartHeader};
use postroad::{abi, log, lossy, Error, Hook, Level, Result, Value, View};

/// Octets read at a time; a text part that begins later is left alone.
const CHUNK: usize = 64 << 10;

/// How deep multiparts may nest.
const MAX_DEPTH: usize = 8;

pub struct Footer {
    plain: Vec<u8>,  // lines with CRLF, after an empty line
    quoted: Vec<u8>, // the same as quoted-printable
    ascii: bool,
}

/// Where the footer goes and how.
struct Place {
    start: u64,                // of the text part's content
    delimiters: Vec<Vec<u8>>,  // any of these ends it; none: the end of the body
    quoted: bool,
}

impl Footer {
    pub fn new(v: &Value) -> std::result::Result<Option<Footer>, String> {
        let text = v.text("footer");
        if text.is_empty() {
            return Ok(None);
        }
        if text.contains('\0') {
            return Err("footer: a NUL character cannot be sent".to_string());
        }
        let (mut plain, mut quoted) = (b"\r\n".to_vec(), b"\r\n".to_vec());
        for line in text.trim_end_matches(|c| c == '\r' || c == '\n').split('\n') {
            let line = line.trim_end_matches('\r');
            plain.extend_from_slice(line.as_bytes());
            plain.extend_from_slice(b"\r\n");
            quote(&mut quoted, line.as_bytes());
        }
        Ok(Some(Footer { plain, quoted, ascii: text.is_ascii() }))
    }

    pub fn apply(&self, h: &Hook) -> Result<()> {
        let size = h.size(View::Body)?;
        let mut head = vec![0; size.min(CHUNK as u64) as usize];
        let n = fill(h, 0, &mut head)?;
        head.truncate(n);
        match self.place(h, &head)? {
            Some(p) => self.insert(h, &p, head, size),
            None => {
                log(Level::Debug, "no footer: the message has no text part that can take it");
                Ok(())
            }
        }
    }

    /// Walks down from the message's own Content-Type.
    fn place(&self, h: &Hook, head: &[u8]) -> Result<Option<Place>> {
        let mut part = PartHeader {
            content_type: unfolded(h, "Content-Type")?,
            encoding: unfolded(h, "Content-Transfer-Encoding")?.to_ascii_lowercase(),
            ..Default::default()
        };
        let (mut start, mut delimiters) = (0, Vec::new());
        for _ in 0..MAX_DEPTH {
            let ct = ContentType::parse(&part.content_type);
            if !ct.media.starts_with("multipart/") {
                return Ok(self.takes(&ct, &part).map(|quoted| Place { start: start as u64, delimiters, quoted }));
            }
            let boundary = ct.param("boundary");
            if boundary.is_empty() || ct.media == "multipart/signed" || ct.media == "multipart/encrypted" {
                return Ok(None);
            }
            delimiters.push(["\r\n--", boundary].concat().into_bytes());
            let inner = first_part(&head[start..], boundary).map(|at| start + at);
            let next = inner.and_then(|at| PartHeader::parse(&head[at..]).map(|p| (at, p)));
            match next {
                Some((at, p)) => {
                    start = at + p.len;
                    part = p;
                }
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Whether a part can take the footer, and if so as quoted-printable.
    fn takes(&self, ct: &ContentType, part: &PartHeader) -> Option<bool> {
        if ct.media != "text/plain" || part.disposition.starts_with("attachment") {
            return None;
        }
        let charset = ct.param("charset").to_ascii_lowercase();
        let fits = match charset.as_str() {
            "utf-8" | "utf8" => true,
            "" | "us-ascii" | "ascii" => self.ascii,
            c => self.ascii && (c.starts_with("iso-8859-") || c.starts_with("windows-125") || c.starts_with("koi8-")),
        };
        match part.encoding.as_str() {
            "quoted-printable" if fits => Some(true),
            "" | "7bit" if fits && self.ascii => Some(false),
            "8bit" if fits => Some(false),
            _ => None,
        }
    }

    /// Copies the body, of `size` octets, with the footer in its place, a chunk at
    /// a time. `buf` is the first chunk.
    fn insert(&self, h: &Hook, p: &Place, mut buf: Vec<u8>, size: u64) -> Result<()> {
        let mut w = Writer { h, started: false };
        let (mut off, mut done) = (0, false);
        // A delimiter may begin with the CRLF that ends the part's header.
        let from = p.start.saturating_sub(2);
        while !buf.is_empty() {
            let last = off + buf.len() as u64 >= size;
            let skip = from.saturating_sub(off).min(buf.len() as u64) as usize;
            let at = match done {
                false => earliest(&buf[skip..], &p.delimiters).map(|i| skip + i),
                true => None,
            };
            let mut taken = buf.len();
            if let Some(at) = at {
                w.put(&buf[..at])?;
                self.write(&mut w, p)?;
                w.put(&buf[at..])?;
                done = true;
            } else {
                if !done && !last {
                    // What could be the start of a delimiter is looked at again.
                    taken -= longest(&p.delimiters).min(taken - 1);
                }
                w.put(&buf[..taken])?;
            }
            off += taken as u64;
            buf.resize(size.saturating_sub(off).min(CHUNK as u64) as usize, 0);
            let n = fill(h, off, &mut buf)?;
            buf.truncate(n);
        }
        if !done {
            self.write(&mut w, p)?;
        }
        Ok(())
    }

    /// Writes the footer. In front of a delimiter, whose CRLF is not part of the
    /// text, it takes that CRLF's place and leaves its own last one off.
    fn write(&self, w: &mut Writer, p: &Place) -> Result<()> {
        let text = if p.quoted { &self.quoted } else { &self.plain };
        if p.delimiters.is_empty() {
            return w.put(text);
        }
        w.put(b"\r\n")?;
        w.put(&text[..text.len() - 2])
    }
}

/// Writes a replacement body.
struct Writer<'a> {
    h: &'a Hook,
    started: bool,
}

impl Writer<'_> {
    /// Writes octets. The host refuses NUL, which no message may have (RFC 5322
    /// §2.2); one that came all the same is left out.
    fn put(&mut self, octets: &[u8]) -> Result<()> {
        match self.write(octets) {
            Err(Error::BAD_ARGUMENT) => octets.split(|c| *c == 0).try_for_each(|p| self.write(p)),
            r => r,
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<()> {
        self.h.write_body(octets, !self.started)?;
        self.started = true;
        Ok(())
    }
}

/// Reads body octets from `off` on until the buffer is full or the body ends.
fn fill(h: &Hook, off: u64, buf: &mut [u8]) -> Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match h.read(View::Body, off + n as u64, &mut buf[n..])? {
            0 => break,
            m => n += m,
        }
    }
    Ok(n)
}

fn unfolded(h: &Hook, name: &str) -> Result<String> {
    match h.find_header(name, None)? {
        Some(id) => Ok(lossy(h.header_part(id, abi::HDR_UNFOLDED)?)),
        None => Ok(String::new()),
    }
}

fn earliest(hay: &[u8], needles: &[Vec<u8>]) -> Option<usize> {
    needles.iter().filter_map(|n| find(hay, n)).min()
}

fn longest(needles: &[Vec<u8>]) -> usize {
    needles.iter().map(|n| n.len()).max().unwrap_or(0)
}

/// Appends a line in quoted-printable (RFC 2045 §6.7), lines of at most 76.
fn quote(out: &mut Vec<u8>, line: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut width = 0;
    for (i, c) in line.iter().enumerate() {
        let blank_at_end = (*c == b' ' || *c == b'\t') && i + 1 == line.len();
        let plain = matches!(c, b' '..=b'~' | b'\t') && *c != b'=' && !blank_at_end;
        let need = if plain { 1 } else { 3 };
        if width + need > 75 {
            out.extend_from_slice(b"=\r\n");
            width = 0;
        }
        match plain {
            true => out.push(*c),
            false => out.extend_from_slice(&[b'=', HEX[(c >> 4) as usize], HEX[(c & 15) as usize]]),
        }
        width += need;
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer(text: &str) -> Footer {
        let v = Value::Object(vec![("footer".into(), Value::String(text.into()))]);
        Footer::new(&v).unwrap().unwrap()
    }

    #[test]
    fn lines() {
        let f = footer("one\ntwo é=\n");
        assert_eq!(f.plain, "\r\none\r\ntwo é=\r\n".as_bytes());
        assert_eq!(f.quoted, b"\r\none\r\ntwo =C3=A9=3D\r\n");
        let long = footer(&"x".repeat(200));
        assert!(long.quoted.split(|c| *c == b'\n').all(|l| l.len() <= 77));
    }

    #[test]
    fn which_parts() {
        let part = |e: &str| PartHeader { encoding: e.into(), ..Default::default() };
        let takes = |text: &str, ct: &str, e: &str| footer(text).takes(&ContentType::parse(ct), &part(e));
        assert_eq!(takes("a", "", ""), Some(false));
        assert_eq!(takes("a", "text/plain; charset=iso-8859-1", "8bit"), Some(false));
        assert_eq!(takes("é", "text/plain; charset=iso-8859-1", "8bit"), None);
        assert_eq!(takes("é", "text/plain; charset=UTF-8", "8bit"), Some(false));
        assert_eq!(takes("é", "text/plain; charset=UTF-8", "7bit"), None);
        assert_eq!(takes("é", "text/plain; charset=UTF-8", "quoted-printable"), Some(true));
        assert_eq!(takes("a", "text/plain; charset=utf-16", "8bit"), None);
        assert_eq!(takes("a", "text/plain", "base64"), None);
        assert_eq!(takes("a", "text/html", "7bit"), None);
    }
}
