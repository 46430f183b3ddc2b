// SPDX-License-Identifier: Apache-2.0

//! A small JSON reader (RFC 8259) for configuration. The host checks a config
//! block against the plugin's schema before the guest sees it, so the accessors
//! take what fits and treat everything else as absent.

/// How deep arrays and objects may nest.
const MAX_DEPTH: u32 = 32;

/// A JSON value. Members of an object keep their order.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Object(members) => members.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The member as text, empty when absent.
    pub fn text(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Value::String(s)) => s,
            _ => "",
        }
    }

    /// The member as a list of texts, empty when absent; a single text counts
    /// as a list of one.
    pub fn texts(&self, key: &str) -> Vec<&str> {
        match self.get(key) {
            Some(Value::String(s)) => vec![s],
            _ => self.list(key).iter().filter_map(|v| v.as_text()).collect(),
        }
    }

    /// The member as an array, empty when absent. Repeated blocks of HCL arrive
    /// like this.
    pub fn list(&self, key: &str) -> &[Value] {
        match self.get(key) {
            Some(Value::Array(vs)) => vs,
            _ => &[],
        }
    }

    /// The member as an integer.
    pub fn int(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Value::Number(n)) => Some(*n as i64),
            _ => None,
        }
    }

    /// The member as a truth value, false when absent.
    pub fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Value::Bool(true)))
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Value::String(s) => Some(s),
            _ => None,
        }
    }
}

/// Parses a JSON text. The error is for the operator.
pub fn parse(text: &[u8]) -> Result<Value, String> {
    let mut p = Parser { text, at: 0 };
    let v = p.value(0).and_then(|v| {
        p.space();
        if p.at == text.len() {
            return Some(v);
        }
        None
    });
    v.ok_or_else(|| {
        let mut e = String::from("configuration is not valid JSON near octet ");
        push_int(&mut e, p.at as i64);
        e
    })
}

/// Appends a decimal number; much smaller in a module than `format!`.
pub fn push_int(s: &mut String, n: i64) {
    if n < 0 {
        s.push('-');
    }
    let mut digits = [0u8; 20];
    let (mut i, mut u) = (digits.len(), n.unsigned_abs());
    loop {
        i -= 1;
        digits[i] = b'0' + (u % 10) as u8;
        u /= 10;
        if u == 0 {
            break;
        }
    }
    digits[i..].iter().for_each(|d| s.push(*d as char));
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn value(&mut self, depth: u32) -> Option<Value> {
        self.space();
        match self.peek()? {
            b'{' if depth < MAX_DEPTH => self.object(depth + 1),
            b'[' if depth < MAX_DEPTH => self.array(depth + 1),
            b'"' => self.string().map(Value::String),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u32) -> Option<Value> {
        self.at += 1;
        let mut members = Vec::new();
        if self.next_is(b'}') {
            return Some(Value::Object(members));
        }
        loop {
            self.space();
            let key = self.string()?;
            if !self.next_is(b':') {
                return None;
            }
            members.push((key, self.value(depth)?));
            if self.next_is(b'}') {
                return Some(Value::Object(members));
            }
            if !self.next_is(b',') {
                return None;
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        if self.next_is(b']') {
            return Some(Value::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.next_is(b']') {
                return Some(Value::Array(items));
            }
            if !self.next_is(b',') {
                return None;
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        if !self.next_is(b'"') {
            return None;
        }
        let mut out = Vec::new();
        loop {
            match self.take()? {
                b'"' => return String::from_utf8(out).ok(),
                b'\\' => self.escape(&mut out)?,
                c if c < b' ' => return None,
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let c = match self.take()? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'u' => self.unicode()?,
            c @ (b'"' | b'\\' | b'/') => c as char,
            _ => return None,
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }

    /// The rest of `\uXXXX`, with its second half for characters above U+FFFF.
    fn unicode(&mut self) -> Option<char> {
        let hi = self.hex4()?;
        if !(0xd800..0xdc00).contains(&hi) {
            return Some(char::from_u32(hi).unwrap_or('\u{fffd}'));
        }
        if self.take()? != b'\\' || self.take()? != b'u' {
            return None;
        }
        let lo = self.hex4()?;
        let c = 0x10000 + ((hi - 0xd800) << 10) + lo.wrapping_sub(0xdc00);
        Some(char::from_u32(c).unwrap_or('\u{fffd}'))
    }

    fn hex4(&mut self) -> Option<u32> {
        let mut n = 0;
        for _ in 0..4 {
            n = n << 4 | (self.take()? as char).to_digit(16)?;
        }
        Some(n)
    }

    fn number(&mut self) -> Option<Value> {
        let from = self.at;
        let negative = self.peek() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let mut n = 0f64;
        let digits = self.digits(|d| n = n * 10.0 + d)?;
        let zero = self.text[self.at - digits] == b'0';
        if zero && digits > 1 {
            self.at = from;
            return None;
        }
        n = self.fraction(n)?;
        n = self.exponent(n)?;
        Some(Value::Number(if negative { -n } else { n }))
    }

    fn fraction(&mut self, mut n: f64) -> Option<f64> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            let mut unit = 1.0;
            self.digits(|d| {
                unit /= 10.0;
                n += d * unit
            })?;
        }
        Some(n)
    }

    fn exponent(&mut self, mut n: f64) -> Option<f64> {
        if !matches!(self.peek(), Some(b'e' | b'E')) {
            return Some(n);
        }
        self.at += 1;
        let down = self.peek() == Some(b'-');
        if matches!(self.peek(), Some(b'-' | b'+')) {
            self.at += 1;
        }
        let mut e = 0f64;
        self.digits(|d| e = (e * 10.0 + d).min(400.0))?;
        for _ in 0..e as u32 {
            n = if down { n / 10.0 } else { n * 10.0 };
        }
        Some(n)
    }

    /// Gives each digit to `f` and returns how many there were, at least one.
    fn digits(&mut self, mut f: impl FnMut(f64)) -> Option<usize> {
        let from = self.at;
        while let Some(c @ b'0'..=b'9') = self.peek() {
            f((c - b'0') as f64);
            self.at += 1;
        }
        if self.at == from {
            return None;
        }
        Some(self.at - from)
    }

    fn word(&mut self, word: &str, v: Value) -> Option<Value> {
        if self.text[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Some(v);
        }
        None
    }

    fn next_is(&mut self, c: u8) -> bool {
        self.space();
        if self.peek() == Some(c) {
            self.at += 1;
            return true;
        }
        false
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Value {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn scalars() {
        assert_eq!(ok(" true "), Value::Bool(true));
        assert_eq!(ok("null"), Value::Null);
        assert_eq!(ok("-12.5e1"), Value::Number(-125.0));
        assert_eq!(ok("0"), Value::Number(0.0));
        assert_eq!(ok(r#""a\"\n\u00e9\ud83d\ude00""#), Value::String("a\"\né😀".into()));
    }

    #[test]
    fn config_block() {
        let v = ok(r#"{"a": ["x", "y"], "b": {"n": 9007199254740991}, "rule": [{"k": true}, {}], "s": "z"}"#);
        assert_eq!(v.texts("a"), ["x", "y"]);
        assert_eq!(v.texts("s"), ["z"]);
        assert_eq!(v.get("b").unwrap().int("n"), Some(9007199254740991));
        assert!(v.list("rule")[0].flag("k") && !v.list("rule")[1].flag("k"));
        assert!(v.text("absent").is_empty() && v.texts("absent").is_empty());
    }

    #[test]
    fn refused() {
        let deep = "[".repeat(100);
        for bad in ["", "{", "[1,]", "{\"a\" 1}", "01", "1 2", "\"a", "\"\\x\"", "tru", "-", "1.", "1e", "\"\n\"", "{1:2}", &deep] {
            assert!(parse(bad.as_bytes()).is_err(), "{}", bad);
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn integers_as_text() {
        for n in [0, 7, -7, i64::MAX, i64::MIN] {
            let mut s = String::new();
            push_int(&mut s, n);
            assert_eq!(s, n.to_string());
        }
    }
}
