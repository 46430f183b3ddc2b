// SPDX-License-Identifier: Apache-2.0

//! The golden vectors of sdk/abi/vectors.json, against this crate's encodings.

use crate::{abi, json, tlv, Answer, Emission, Record, Request, Response, Snapshot, Value};

fn vectors(of: &str) -> Vec<Value> {
    let file = json::parse(include_bytes!("../../abi/vectors.json")).unwrap();
    let all: Vec<Value> = file
        .list("vectors")
        .iter()
        .filter(|v| v.text("of") == of)
        .cloned()
        .collect();
    assert!(!all.is_empty(), "no vector of {}", of);
    all
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn octets(entry: &Value) -> Vec<u8> {
    match entry.get("hex") {
        Some(_) => unhex(entry.text("hex")),
        None => entry.text("text").as_bytes().to_vec(),
    }
}

fn tag(entry: &Value) -> i32 {
    entry.int("number").unwrap_or(0) as i32
}

fn text(entries: &[Value], t: i32) -> String {
    entries
        .iter()
        .find(|e| tag(e) == t)
        .map_or(String::new(), |e| e.text("text").to_string())
}

fn texts(entries: &[Value], t: i32) -> Vec<&str> {
    entries
        .iter()
        .filter(|e| tag(e) == t)
        .map(|e| e.text("text"))
        .collect()
}

#[test]
fn routes() {
    for v in vectors("route") {
        let raw = unhex(v.text("hex"));
        let got: Result<Vec<_>, _> = tlv::entries(&raw).collect();
        let want: Vec<_> = v
            .list("entries")
            .iter()
            .map(|e| (tag(e), octets(e)))
            .collect();
        match got {
            Ok(got) => {
                let mut again = Vec::new();
                got.iter().for_each(|(t, b)| tlv::push(&mut again, *t, b));
                assert!(
                    v.text("error").is_empty() && again == raw,
                    "{}",
                    v.text("name")
                );
                assert_eq!(
                    got.iter()
                        .map(|(t, b)| (*t, b.to_vec()))
                        .collect::<Vec<_>>(),
                    want
                );
            }
            Err(e) => assert!(
                v.text("error") == "bad_argument" && e.0 == abi::ERR_BAD_ARGUMENT,
                "{}",
                v.text("name")
            ),
        }
    }
}

#[test]
fn requests() {
    for v in vectors("http") {
        let e = v.list("entries");
        let (method, url, body) = (
            text(e, abi::HTTP_METHOD),
            text(e, abi::HTTP_URL),
            text(e, abi::HTTP_BODY),
        );
        let timeout = e
            .iter()
            .find(|e| tag(e) == abi::HTTP_TIMEOUT)
            .and_then(|e| e.int("u32"))
            .unwrap_or(0);
        let header = texts(e, abi::HTTP_HEADER);
        let r = Request {
            method: &method,
            url: &url,
            header: &header,
            body: body.as_bytes(),
            timeout_ms: timeout as u32,
        };
        let at_commit = e.iter().any(|e| tag(e) == abi::HTTP_AT_COMMIT);
        assert_eq!(
            r.octets(at_commit),
            unhex(v.text("hex")),
            "{}",
            v.text("name")
        );
    }
    for v in vectors("http_answer") {
        let mut head = [0; 12];
        head.copy_from_slice(&unhex(v.text("hex")));
        let (r, e) = (Response::parse(0, &head), v.list("entries"));
        assert_eq!(
            (i64::from(r.status), r.size as i64),
            (e[0].int("u32").unwrap(), e[1].int("u64").unwrap())
        );
    }
}

#[test]
fn new_messages() {
    for v in vectors("emit") {
        let e = v.list("entries");
        let (sender, header, body) = (
            text(e, abi::EMIT_SENDER),
            text(e, abi::EMIT_HEADER),
            text(e, abi::EMIT_BODY),
        );
        let rcpts = texts(e, abi::EMIT_RECIPIENT);
        let whole = e.iter().any(|e| tag(e) == abi::EMIT_BODY_OF_MESSAGE);
        let m = Emission {
            sender: &sender,
            recipients: &rcpts,
            header: &header,
            body: if whole { None } else { Some(body.as_bytes()) },
        };
        assert_eq!(m.octets(), unhex(v.text("hex")), "{}", v.text("name"));
    }
}

#[test]
fn answers() {
    for v in vectors("dns") {
        let mut want = Answer::default();
        for e in v.list("entries") {
            if tag(e) == abi::DNS_AUTHENTICATED {
                want.authenticated = true;
                continue;
            }
            let mut r = Record::default();
            for f in e.list("entries") {
                match tag(f) {
                    abi::DNS_TTL => r.ttl = f.int("u32").unwrap() as u32,
                    abi::DNS_DATA => r.data = octets(f),
                    _ => r.preference = f.int("u16").unwrap() as u16,
                }
            }
            want.records.push(r);
        }
        let raw = unhex(v.text("hex"));
        assert_eq!(Answer::parse(&raw).unwrap(), want, "{}", v.text("name"));
        assert!(Answer::parse(&raw[..raw.len() - 1]).is_err());
    }
}

#[test]
fn snapshots() {
    for v in vectors("snapshot") {
        let s = Snapshot::parse(&unhex(v.text("hex"))).unwrap();
        let (mut rcpts, mut headers, mut symbols) = (0, 0, 0);
        for e in v.list("entries") {
            match tag(e) {
                abi::SNAPSHOT_TAG_RECIPIENT => {
                    for f in e.list("entries") {
                        match tag(f) {
                            abi::SNAPSHOT_TAG_INDEX => {
                                assert_eq!(s.recipients[rcpts].index as i64, f.int("u32").unwrap())
                            }
                            t => assert_eq!(
                                s.recipients[rcpts].octets(t),
                                Some(octets(f).as_slice())
                            ),
                        }
                    }
                    rcpts += 1;
                }
                abi::SNAPSHOT_TAG_HEADER => {
                    assert_eq!(s.header[headers], octets(e));
                    headers += 1;
                }
                abi::SNAPSHOT_TAG_SYMBOL => {
                    assert_eq!(
                        s.symbols[symbols],
                        (octets(e), e.int("i32").unwrap() as i32)
                    );
                    symbols += 1;
                }
                t if e.get("i64").is_some() => assert_eq!(s.get_int(t), e.int("i64")),
                t => assert_eq!(s.octets(t), Some(octets(e).as_slice())),
            }
        }
        assert_eq!(
            (rcpts, headers, symbols),
            (s.recipients.len(), s.header.len(), s.symbols.len())
        );
        assert_eq!(s.octets(abi::FIELD_RDNS), None);
    }
}
