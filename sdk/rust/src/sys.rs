// SPDX-License-Identifier: Apache-2.0

//! The edge to the host: raw imports, reads into buffers that grow, and the
//! functions that need no hook.

use crate::{abi, check, json, Error, Result};

/// Raw host functions. Outside a WebAssembly module there is no host: every
/// call is "not supported", so that the logic of a plugin can be tested
/// natively.
pub(crate) use crate::abi::{
    bucket, body_write, dns, ehlo_set, emit, get, get_int, hdr_add, hdr_del, hdr_find, hdr_get, hdr_set, http, http_header, http_read, kv_add,
    kv_cas, kv_del, kv_get, kv_put, label_set, meta_get, meta_set, metric, msg_read, msg_size, part_count, part_get, part_read, queue_set, r#use as host_use,
    rate_take, rcpt_add, rcpt_del, rcpt_set, rcpt_verdict, reply, route_set, score, sender_set, snapshot, split, store,
};

/// How much a first read has room for: most fields and values are shorter, so
/// one call of the host is enough.
const FIRST: usize = 128;

/// Reads a value whose length the host tells: `f` gets a buffer and its
/// capacity and returns the true length or an error.
/// One copy of it serves all readers, which keeps modules small.
pub(crate) fn read(mut f: impl FnMut(i32, i32) -> i32) -> Result<Vec<u8>> {
    read_with(&mut f)
}

fn read_with(f: &mut dyn FnMut(i32, i32) -> i32) -> Result<Vec<u8>> {
    let mut buf: Vec<u8> = Vec::with_capacity(FIRST);
    loop {
        let n = check(f(buf.as_mut_ptr() as i32, buf.capacity() as i32))?;
        if n <= buf.capacity() {
            // SAFETY: the host wrote n octets, and there is room for them.
            unsafe { buf.set_len(n) };
            return Ok(buf);
        }
        buf.reserve_exact(n);
    }
}

/// Pointer and length of octets as the host wants them.
pub(crate) fn ptr(s: &[u8]) -> i32 {
    s.as_ptr() as i32
}

/// Length of octets as the host wants it.
pub(crate) fn len(s: &[u8]) -> i32 {
    s.len() as i32
}

/// Importance of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Trace = abi::LOG_TRACE as isize,
    Debug = abi::LOG_DEBUG as isize,
    Info = abi::LOG_INFO as isize,
    Warn = abi::LOG_WARN as isize,
    Error = abi::LOG_ERROR as isize,
}

/// Writes a line to the relay's log; session id and stage are added there.
pub fn log(level: Level, text: &str) {
    let t = text.as_bytes();
    unsafe { abi::log(level as i32, ptr(t), len(t)) }
}

/// Reports whether lines of that level are kept. Ask before making a long one.
pub fn log_on(level: Level) -> bool {
    unsafe { abi::log_on(level as i32) == 1 }
}

/// Returns milliseconds since 1970-01-01 UTC. Tests can freeze it.
pub fn now_ms() -> i64 {
    unsafe { abi::now() }
}

/// Returns the value of a granted secret. Do not log it.
pub fn secret(name: &str) -> Result<Vec<u8>> {
    let n = name.as_bytes();
    read(|b, c| unsafe { abi::secret(ptr(n), len(n), b, c) })
}

/// Fills a buffer with random octets. Tests can freeze them.
pub fn random(to: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < to.len() {
        let rest = &mut to[done..];
        match check(unsafe { abi::random(rest.as_mut_ptr() as i32, rest.len() as i32) })? {
            0 => return Err(Error(abi::ERR_IO)),
            n => done += n,
        }
    }
    Ok(())
}

/// Returns the stage's config block. An empty block is an empty object.
pub fn config() -> std::result::Result<json::Value, String> {
    let raw = read(|b, c| unsafe { abi::config(b, c) }).map_err(|e| e.text().to_string())?;
    if raw.is_empty() {
        return Ok(json::Value::Object(Vec::new()));
    }
    json::parse(&raw)
}
