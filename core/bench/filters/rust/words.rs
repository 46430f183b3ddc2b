// SPDX-License-Identifier: Apache-2.0

//! words: the job of core/bench/filters in Rust, with the standard library's
//! Vec, HashMap and sort, and without an SDK.

use std::collections::HashMap;

#[link(wasm_import_module = "postroad_v1")]
extern "C" {
    fn config(b: *mut u8, c: usize) -> i32;
    fn msg_read(view: i32, off: i64, b: *mut u8, c: usize) -> i32;
    fn hdr_find(p: *const u8, n: usize, after: i32) -> i32;
    fn hdr_get(id: i32, part: i32, b: *mut u8, c: usize) -> i32;
    fn hdr_set(id: i32, p: *const u8, n: usize) -> i32;
    fn hdr_add(pos: i32, np: *const u8, nn: usize, vp: *const u8, vn: usize) -> i32;
}

const PHASE_MESSAGE: i32 = 9;
const CHUNK: usize = 64 << 10;
const LARGEST: usize = 16 << 20;
const WORDS: usize = 200;
const LENGTHS: std::ops::RangeInclusive<usize> = 3..=24;
const SHOWN: usize = 5;
const ERR_IO: i32 = -7;
const ERR_UNSUPPORTED: i32 = -8;

/// Makes an error of the host's negative results.
fn check(n: i32) -> Result<usize, i32> {
    usize::try_from(n).map_err(|_| n)
}

/// Reads the whole message.
fn load() -> Result<Vec<u8>, i32> {
    let mut mail = Vec::new();
    loop {
        let len = mail.len();
        if len + CHUNK > LARGEST {
            return Err(ERR_IO);
        }
        mail.resize(len + CHUNK, 0);
        let n = check(unsafe { msg_read(0, len as i64, mail[len..].as_mut_ptr(), CHUNK) })?;
        mail.truncate(len + n);
        if n == 0 {
            return Ok(mail);
        }
    }
}

fn add(name: &str, value: &str) -> Result<(), i32> {
    check(unsafe { hdr_add(-1, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }).map(drop)
}

fn subject() -> Result<(), i32> {
    let id = check(unsafe { hdr_find("Subject".as_ptr(), 7, -1) })? as i32;
    let mut value = b"[list] ".to_vec();
    value.resize(1024, 0);
    let n = check(unsafe { hdr_get(id, 2, value[7..].as_mut_ptr(), 1024 - 7) })?;
    value.truncate(7 + n);
    check(unsafe { hdr_set(id, value.as_ptr(), value.len()) }).map(drop)
}

/// Counts the header's fields and finds the body.
fn header(mail: &[u8]) -> (usize, usize) {
    let (mut fields, mut at) = (0, 0);
    for line in mail.split(|c| *c == b'\n') {
        at = mail.len().min(at + line.len() + 1);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.first() {
            None => return (fields, at),
            Some(b' ') | Some(b'\t') => {}
            Some(_) => fields += line.contains(&b':') as usize,
        }
    }
    (fields, mail.len())
}

fn collect(body: &[u8]) -> HashMap<&[u8], u32> {
    let mut known: HashMap<&[u8], u32> = HashMap::new();
    for word in body.split(|c| !c.is_ascii_lowercase()).filter(|w| LENGTHS.contains(&w.len())) {
        if let Some(n) = known.get_mut(word) {
            *n += 1;
        } else if known.len() < WORDS {
            known.insert(word, 1);
        }
    }
    known
}

fn scan() -> Result<(), i32> {
    let mut mail = load()?;
    let (fields, at) = header(&mail);
    let body = &mut mail[at..];
    let other = body.iter().filter(|c| !c.is_ascii()).count();
    body.make_ascii_lowercase();
    let mut words: Vec<(&[u8], u32)> = collect(body).into_iter().collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut line = format!("fields={} other={} words={}", fields, other, words.len());
    for (word, n) in words.iter().take(SHOWN) {
        line += &format!(" {}={}", String::from_utf8_lossy(word), n);
    }
    add("X-Words", &line)
}

// What to do, from the configuration. A guest has one thread.
static mut JOB: fn() -> Result<(), i32> = || Ok(());

#[no_mangle]
pub extern "C" fn pr_init() -> i64 {
    let mut text = [0; 64];
    let n = unsafe { config(text.as_mut_ptr(), text.len()) };
    let job: fn() -> Result<(), i32> = match &text[..text.len().min(n.max(0) as usize)] {
        br#"{"job":"nothing"}"# => || Ok(()),
        br#"{"job":"add"}"# => || add("X-Filter", "seen"),
        br#"{"job":"subject"}"# => subject,
        br#"{"job":"scan"}"# => scan,
        _ => return ERR_UNSUPPORTED as i64,
    };
    unsafe { JOB = job };
    1 << PHASE_MESSAGE
}

#[no_mangle]
pub extern "C" fn pr_on(_phase: i32, _arg: i32) -> i32 {
    unsafe { JOB() }.err().unwrap_or(0)
}
