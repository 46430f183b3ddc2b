// SPDX-License-Identifier: Apache-2.0

//! Write Postroad plugins in Rust: a safe, typed view of the plugin ABI
//! `postroad_v1`, whose meaning is written in `sdk/abi/spec.md`.
//!
//! A plugin is a type with a [`Plugin`] implementation, made a module by
//! [`plugin!`]:
//!
//! ```ignore
//! use postroad::{plugin, Hook, Phases, Plugin, Result, Value, Verdict};
//!
//! struct Hello;
//!
//! impl Plugin for Hello {
//!     fn new(_config: &Value) -> std::result::Result<Self, String> { Ok(Hello) }
//!     fn phases(&self) -> Phases { Phases::MESSAGE }
//!     fn message(&mut self, h: &Hook) -> Result<Verdict> {
//!         h.add_header(postroad::Place::Top, "X-Hello", "world")?;
//!         Ok(Verdict::Continue)
//!     }
//! }
//!
//! plugin!(Hello);
//! ```
//!
//! The host runs several instances of a plugin and hands each hook to whichever
//! is free: fields of the plugin's type are a cache, never state. State belongs
//! into meta, a [`Store`] or a [`Bucket`].

#![deny(missing_docs)]

pub mod abi;
mod ask;
mod envelope;
pub mod glob;
pub mod header;
mod hook;
pub mod json;
pub mod net;
mod part;
mod plugin;
mod shared;
mod snapshot;
mod sys;
pub mod tlv;
#[cfg(test)]
mod vectors;

pub use ask::{rrtype, Answer, Record, Request, Response};
pub use envelope::{Branch, Emission};
pub use hook::{Field, HeaderId, Hook, Place, Reply, Scope, View};
pub use json::Value;
pub use part::{PartField, PartView};
pub use plugin::{Phase, Phases, Plugin, Verdict};
pub use shared::{Bucket, Store, Taken};
pub use snapshot::{Recipient, Snapshot};
pub use sys::{config, log, log_on, now_ms, random, secret, Level};

#[doc(hidden)]
pub use plugin::{init, on};

/// A negative result of a host function: one of the `ERR_` numbers of [`abi`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(pub i32);

/// What every call of the host returns. A hook that returns the error makes its
/// edits void and leaves the message to the stage's `on_error`.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The thing asked for is absent.
    pub const NOT_FOUND: Error = Error(abi::ERR_NOT_FOUND);
    /// The stage has no grant for it.
    pub const DENIED: Error = Error(abi::ERR_DENIED);
    /// A length, index, name or value is not valid.
    pub const BAD_ARGUMENT: Error = Error(abi::ERR_BAD_ARGUMENT);
    /// The function may not be called in this phase.
    pub const WRONG_PHASE: Error = Error(abi::ERR_WRONG_PHASE);
    /// A limit or quota is used up.
    pub const LIMIT: Error = Error(abi::ERR_LIMIT);
    /// This host does not know the field, part, view or feature.
    pub const UNSUPPORTED: Error = Error(abi::ERR_UNSUPPORTED);
    /// The value is not the expected one, or the key exists.
    pub const CONFLICT: Error = Error(abi::ERR_CONFLICT);

    /// Returns the error in a few words.
    pub fn text(self) -> &'static str {
        match self.0 {
            abi::ERR_NOT_FOUND => "not found",
            abi::ERR_DENIED => "denied: the stage has no grant for it",
            abi::ERR_BAD_ARGUMENT => "bad argument",
            abi::ERR_WRONG_PHASE => "wrong phase",
            abi::ERR_LIMIT => "limit reached",
            abi::ERR_TIMEOUT => "timed out",
            abi::ERR_IO => "input/output error",
            abi::ERR_UNSUPPORTED => "not supported by this host",
            abi::ERR_CONFLICT => "conflict",
            _ => "unknown error",
        }
    }
}

/// Turns a result of the host into a length, id or handle.
fn check(n: i32) -> Result<usize> {
    if n < 0 {
        return Err(Error(n));
    }
    Ok(n as usize)
}

/// Like [`check`], but "not found" is `None`.
fn optional(r: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match r {
        Ok(v) => Ok(Some(v)),
        Err(Error::NOT_FOUND) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Returns octets as text; what is not UTF-8 becomes U+FFFD.
pub fn lossy(octets: Vec<u8>) -> String {
    match String::from_utf8(octets) {
        Ok(s) => s,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    }
}
