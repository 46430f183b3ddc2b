// SPDX-License-Identifier: Apache-2.0

//! Header text for hosts without SMTPUTF8: encoded words (RFC 2047).

/// Longest encoded word (RFC 2047 §2), and what of it is not payload.
const MAX_WORD: usize = 75;
const AROUND: usize = "=?utf-8?q??=".len();

/// Encodes text in Q encoded words, as many as needed, each whole in UTF-8.
/// Text that is ASCII comes back unchanged.
pub fn encode(text: &str) -> String {
    if text.is_ascii() {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut word = String::new();
    for c in text.chars() {
        let mut q = String::new();
        quote(&mut q, c);
        if AROUND + word.len() + q.len() > MAX_WORD {
            push_word(&mut out, &word);
            word.clear();
        }
        word.push_str(&q);
    }
    push_word(&mut out, &word);
    out
}

fn push_word(out: &mut String, word: &str) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str("=?utf-8?q?");
    out.push_str(word);
    out.push_str("?=");
}

/// Appends one character in Q encoding. Only what RFC 2047 §5 (3) permits in a
/// phrase stays as it is, so that the result fits into address fields too.
fn quote(out: &mut String, c: char) {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '!' | '*' | '+' | '-' | '/' => out.push(c),
        ' ' => out.push('_'),
        _ => c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| push_hex(out, b)),
    }
}

fn push_hex(out: &mut String, b: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('=');
    out.push(HEX[(b >> 4) as usize] as char);
    out.push(HEX[(b & 15) as usize] as char);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words() {
        assert_eq!(encode("plain text"), "plain text");
        assert_eq!(encode("Grüße an alle"), "=?utf-8?q?Gr=C3=BC=C3=9Fe_an_alle?=");
        let long = encode(&"日本".repeat(20));
        assert!(long.split(' ').count() > 1);
        for w in long.split(' ') {
            assert!(w.len() <= MAX_WORD && w.starts_with("=?utf-8?q?") && w.ends_with("?="));
            let octets = w[10..w.len() - 2].split('=').skip(1);
            let octets: Vec<u8> = octets.map(|h| u8::from_str_radix(h, 16).unwrap()).collect();
            assert!(String::from_utf8(octets).is_ok());
        }
    }
}
