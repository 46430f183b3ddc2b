// SPDX-License-Identifier: Apache-2.0

//! Placeholders in header values: `{sender}`, `{client_ip}`, …

use postroad::{Field, Hook, Result};

/// A value with its placeholders found.
pub struct Template(Vec<Piece>);

enum Piece {
    Text(String),
    Sender,
    Fact(Field),
}

impl Template {
    /// Splits a value. What is not a known placeholder stays as it is.
    pub fn new(value: &str) -> Template {
        let mut pieces = Vec::new();
        let mut rest = value;
        while let Some((text, piece, tail)) = next(rest) {
            pieces.push(Piece::Text(text.to_string()));
            pieces.push(piece);
            rest = tail;
        }
        pieces.push(Piece::Text(rest.to_string()));
        Template(pieces)
    }

    /// The value with the facts of this hook; an absent fact is empty.
    pub fn expand(&self, h: &Hook) -> Result<String> {
        let mut out = String::new();
        for p in &self.0 {
            match p {
                Piece::Text(t) => out.push_str(t),
                Piece::Sender => out.push_str(&h.sender()?),
                Piece::Fact(f) => out.push_str(&h.get(*f)?.unwrap_or_default()),
            }
        }
        Ok(out)
    }
}

/// The first placeholder of `s` with what is before and behind it.
fn next(s: &str) -> Option<(&str, Piece, &str)> {
    let mut from = 0;
    while let Some(open) = s[from..].find('{').map(|i| i + from) {
        let close = open + s[open..].find('}')?;
        if let Some(p) = piece(&s[open + 1..close]) {
            return Some((&s[..open], p, &s[close + 1..]));
        }
        from = open + 1;
    }
    None
}

fn piece(name: &str) -> Option<Piece> {
    Some(match name {
        "sender" => Piece::Sender,
        "session_id" => Piece::Fact(Field::SessionId),
        "message_id" => Piece::Fact(Field::MessageId),
        "client_ip" => Piece::Fact(Field::ClientIp),
        "client_name" => Piece::Fact(Field::Rdns),
        "helo" => Piece::Fact(Field::Helo),
        "tls_version" => Piece::Fact(Field::TlsVersion),
        "user" => Piece::Fact(Field::AuthUser),
        "listener" => Piece::Fact(Field::Listener),
        "stage" => Piece::Fact(Field::Stage),
        _ => return None,
    })
}
