// SPDX-License-Identifier: Apache-2.0

//! As much of MIME (RFC 2045, RFC 2046) as finding the first text part takes:
//! field values with parameters, and the way down through first parts.

/// White space of header fields.
const SPACE: &[char] = &[' ', '\t', '\r', '\n'];

/// A Content-Type: media type in lower case, and its parameters.
#[derive(Debug, PartialEq)]
pub struct ContentType {
    pub media: String,
    params: Vec<(String, String)>,
}

impl ContentType {
    /// Reads a field value; an empty one is text/plain (RFC 2045 §5.2).
    pub fn parse(value: &str) -> ContentType {
        let mut pieces = split(value).into_iter();
        let media = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let params = pieces.filter_map(|p| {
            let eq = p.find('=')?;
            Some((p[..eq].trim_matches(SPACE).to_ascii_lowercase(), unquote(p[eq + 1..].trim_matches(SPACE))))
        });
        let params = params.collect();
        let media = if media.is_empty() { "text/plain".to_string() } else { media };
        ContentType { media, params }
    }

    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

/// Cuts at semicolons outside quoted strings.
fn split(s: &str) -> Vec<String> {
    let (mut out, mut cur) = (Vec::new(), String::new());
    let (mut quoted, mut escaped) = (false, false);
    for c in s.chars() {
        if c == ';' && !quoted {
            out.push(std::mem::take(&mut cur).trim_matches(SPACE).to_string());
            continue;
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && c == '\\' && !escaped;
        cur.push(c);
    }
    out.push(cur.trim_matches(SPACE).to_string());
    out
}

fn unquote(s: &str) -> String {
    let inner = match s.strip_prefix('"').and_then(|s| s.strip_suffix('"')) {
        Some(i) => i,
        None => return s.to_string(),
    };
    let (mut out, mut escaped) = (String::new(), false);
    for c in inner.chars() {
        escaped = c == '\\' && !escaped;
        if !escaped {
            out.push(c);
        }
    }
    out
}

/// The header section of a part, as far as it matters here.
#[derive(Debug, Default)]
pub struct PartHeader {
    pub content_type: String,
    pub encoding: String,
    pub disposition: String,
    pub len: usize, // octets with the empty line
}

impl PartHeader {
    /// Reads the header section at the start of `b`; `None` when it does not
    /// end in there.
    pub fn parse(b: &[u8]) -> Option<PartHeader> {
        let end = match b.starts_with(b"\r\n") {
            true => 2,
            false => find(b, b"\r\n\r\n")? + 4,
        };
        let mut p = PartHeader { len: end, ..Default::default() };
        for field in unfold(&String::from_utf8_lossy(&b[..end])) {
            p.take(&field);
        }
        Some(p)
    }

    fn take(&mut self, field: &str) {
        let colon = match field.find(':') {
            Some(i) => i,
            None => return,
        };
        let value = field[colon + 1..].trim_matches(SPACE).to_string();
        match field[..colon].trim_matches(SPACE).to_ascii_lowercase().as_str() {
            "content-type" => self.content_type = value,
            "content-transfer-encoding" => self.encoding = value.to_ascii_lowercase(),
            "content-disposition" => self.disposition = value.to_ascii_lowercase(),
            _ => {}
        }
    }
}

fn unfold(section: &str) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in section.split('\n').map(|l| l.trim_end_matches('\r')) {
        match fields.last_mut() {
            Some(f) if line.starts_with(|c| c == ' ' || c == '\t') => f.push_str(line),
            _ => fields.push(line.to_string()),
        }
    }
    fields
}

/// The index of `needle` in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(i) = hay[from..].iter().position(|c| *c == first) {
        let at = from + i;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The offset behind the first delimiter line of that boundary.
pub fn first_part(body: &[u8], boundary: &str) -> Option<usize> {
    let dash = ["--", boundary].concat();
    let mut from = 0;
    loop {
        let at = from + find(&body[from..], dash.as_bytes())?;
        let behind = at + dash.len();
        let eol = behind + find(&body[behind..], b"\r\n")?;
        let line_start = at == 0 || body[..at].ends_with(b"\r\n");
        if line_start && body[behind..eol].iter().all(|c| *c == b' ' || *c == b'\t') {
            return Some(eol + 2);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let c = ContentType::parse(r#"Multipart/Mixed; charset=utf-8; Boundary="a;\"b""#);
        assert_eq!((c.media.as_str(), c.param("boundary"), c.param("charset")), ("multipart/mixed", "a;\"b", "utf-8"));
        assert_eq!(ContentType::parse("").media, "text/plain");
        assert_eq!(ContentType::parse("text/html").param("boundary"), "");
    }

    #[test]
    fn part_headers() {
        let p = PartHeader::parse(b"Content-Type: text/plain;\r\n charset=utf-8\r\nContent-Transfer-Encoding: 8BIT\r\n\r\nbody").unwrap();
        assert_eq!(p.content_type, "text/plain; charset=utf-8");
        assert_eq!((p.encoding.as_str(), p.len), ("8bit", 78));
        assert_eq!(PartHeader::parse(b"\r\nbody").unwrap().len, 2);
        assert!(PartHeader::parse(b"Content-Type: text/plain\r\n").is_none());
    }

    #[test]
    fn delimiters() {
        let body = b"not --b here\r\n--bb\r\n--b \r\nhello\r\n--b--\r\n";
        assert_eq!(&body[first_part(body, "b").unwrap()..][..5], b"hello");
        assert!(first_part(body, "x").is_none());
        assert!(find(b"aab", b"ab") == Some(1) && find(b"", b"a").is_none());
    }
}
