// SPDX-License-Identifier: Apache-2.0

//! The edge to the host: raw imports, reads into buffers that grow, and the
//! functions that need no hook.

use crate::{abi, check, json, Result};

/// Raw host functions. Outside a WebAssembly module there is no host: every
/// call is "not supported", so that the logic of a plugin can be tested
/// natively.
#[cfg(target_arch = "wasm32")]
pub(crate) use crate::abi::*;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;

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
    unsafe { host_log(level as i32, ptr(t), len(t)) }
}

/// Reports whether lines of that level are kept. Ask before making a long one.
pub fn log_on(level: Level) -> bool {
    unsafe { host_log_on(level as i32) == 1 }
}

/// Returns milliseconds since 1970-01-01 UTC. Tests can freeze it.
pub fn now_ms() -> i64 {
    unsafe { now() }
}

/// Returns the stage's config block. An empty block is an empty object.
pub fn config() -> std::result::Result<json::Value, String> {
    let raw = read(|b, c| unsafe { host_config(b, c) }).map_err(|e| e.text().to_string())?;
    if raw.is_empty() {
        return Ok(json::Value::Object(Vec::new()));
    }
    json::parse(&raw)
}

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::abi::{config as host_config, log as host_log, log_on as host_log_on};

#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::too_many_arguments)]
mod native {
    use crate::abi;

    macro_rules! absent {
        ($($name:ident($($p:ident: $t:ty),*) -> $r:ty = $v:expr;)*) => {
            $(pub(crate) unsafe fn $name($($p: $t),*) -> $r { $(let _ = $p;)* $v })*
        };
    }
    absent! {
        get(a: i32, b: i32, c: i32, d: i32) -> i32 = abi::ERR_UNSUPPORTED;
        get_int(a: i32, b: i32) -> i64 = abi::ABSENT;
        reply(a: i32, b: i32, c: i32, d: i32) -> i32 = abi::ERR_UNSUPPORTED;
        rcpt_verdict(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32 = abi::ERR_UNSUPPORTED;
        hdr_find(a: i32, b: i32, c: i32) -> i32 = abi::ERR_UNSUPPORTED;
        hdr_get(a: i32, b: i32, c: i32, d: i32) -> i32 = abi::ERR_UNSUPPORTED;
        hdr_add(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 = abi::ERR_UNSUPPORTED;
        hdr_set(a: i32, b: i32, c: i32) -> i32 = abi::ERR_UNSUPPORTED;
        hdr_del(a: i32) -> i32 = abi::ERR_UNSUPPORTED;
        rcpt_add(a: i32, b: i32) -> i32 = abi::ERR_UNSUPPORTED;
        rcpt_set(a: i32, b: i32, c: i32) -> i32 = abi::ERR_UNSUPPORTED;
        rcpt_del(a: i32) -> i32 = abi::ERR_UNSUPPORTED;
        sender_set(a: i32, b: i32) -> i32 = abi::ERR_UNSUPPORTED;
        msg_size(a: i32) -> i64 = abi::ERR_UNSUPPORTED as i64;
        msg_read(a: i32, b: i64, c: i32, d: i32) -> i32 = abi::ERR_UNSUPPORTED;
        body_write(a: i32, b: i32, c: i32) -> i32 = abi::ERR_UNSUPPORTED;
        part_count() -> i32 = abi::ERR_UNSUPPORTED;
        part_get(a: i32, b: i32, c: i32, d: i32) -> i32 = abi::ERR_UNSUPPORTED;
        meta_get(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 = abi::ERR_UNSUPPORTED;
        meta_set(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 = abi::ERR_UNSUPPORTED;
        route_set(a: i32, b: i32, c: i32) -> i32 = abi::ERR_UNSUPPORTED;
        store(a: i32, b: i32) -> i32 = abi::ERR_UNSUPPORTED;
        kv_get(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 = abi::ERR_UNSUPPORTED;
        kv_put(a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i32) -> i32 = abi::ERR_UNSUPPORTED;
        kv_del(a: i32, b: i32, c: i32) -> i32 = abi::ERR_UNSUPPORTED;
        kv_add(a: i32, b: i32, c: i32, d: i64, e: i64, f: i32) -> i32 = abi::ERR_UNSUPPORTED;
        kv_cas(a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i64) -> i32 = abi::ERR_UNSUPPORTED;
        bucket(a: i32, b: i32) -> i32 = abi::ERR_UNSUPPORTED;
        rate_take(a: i32, b: i32, c: i32, d: i32, e: i32) -> i32 = abi::ERR_UNSUPPORTED;
        host_config(a: i32, b: i32) -> i32 = abi::ERR_UNSUPPORTED;
        host_log(a: i32, b: i32, c: i32) -> () = ();
        host_log_on(a: i32) -> i32 = 0;
        now() -> i64 = 0;
    }
}
