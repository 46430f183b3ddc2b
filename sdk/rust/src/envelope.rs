// SPDX-License-Identifier: Apache-2.0

//! What becomes of the message: routes, children, the queue, new messages.

use crate::sys::{self, len, ptr};
use crate::{abi, check, tlv, Hook, Result};

/// An envelope of its own that [`Hook::split`] made, or the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch(i32);

impl Branch {
    /// The envelope that a hook begins with.
    pub const PARENT: Branch = Branch(0);

    /// The n-th envelope that this hook has split off, from 1 on.
    pub fn numbered(n: u32) -> Branch {
        Branch(n as i32)
    }
}

/// A new message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Emission<'a> {
    /// Empty: the null sender.
    pub sender: &'a str,
    /// One at least.
    pub recipients: &'a [&'a str],
    /// Header section, lines ending in CRLF.
    pub header: &'a str,
    /// The body; `None`: that of the message at hand.
    pub body: Option<&'a [u8]>,
}

impl Hook {
    /// Adds a named symbol with its score, in thousandths, to the message. The
    /// sum of all stages' scores is the field `abi::FIELD_SCORE`.
    pub fn add_score(&self, symbol: &str, milli: i32) -> Result<()> {
        let s = symbol.as_bytes();
        check(unsafe { sys::score(ptr(s), len(s), milli) })?;
        Ok(())
    }

    /// Moves recipients, by their indexes, to an envelope of their own in phase
    /// message, which gets edits of its own with [`Hook::switch_to`].
    pub fn split(&self, rcpts: &[usize]) -> Result<Branch> {
        let b: Vec<u8> = rcpts
            .iter()
            .flat_map(|i| (*i as u32).to_le_bytes())
            .collect();
        Ok(Branch(
            check(unsafe { sys::split(ptr(&b), rcpts.len() as i32) })? as i32,
        ))
    }

    /// Makes `b` the envelope that the following calls see and edit.
    pub fn switch_to(&self, b: Branch) -> Result<()> {
        check(unsafe { sys::host_use(b.0) })?;
        Ok(())
    }

    /// Chooses a route by its name, for all recipients when `idx` is `None`.
    pub fn set_route(&self, idx: Option<usize>, route: &str) -> Result<()> {
        self.route(idx, abi::ROUTE_NAME, route)
    }

    /// Chooses a next hop `host:port`, for all recipients when `idx` is `None`.
    pub fn set_next_hop(&self, idx: Option<usize>, next_hop: &str) -> Result<()> {
        self.route(idx, abi::ROUTE_NEXT_HOP, next_hop)
    }

    fn route(&self, idx: Option<usize>, tag: i32, value: &str) -> Result<()> {
        let mut b = Vec::with_capacity(6 + value.len());
        tlv::push(&mut b, tag, value.as_bytes());
        let idx = idx.map_or(-1, |i| i as i32);
        check(unsafe { sys::route_set(idx, ptr(&b), len(&b)) })?;
        Ok(())
    }

    /// Sets an option of the queued message: `abi::QUEUE_NOT_BEFORE`,
    /// `QUEUE_EXPIRES` (milliseconds since 1970, 0 takes it back),
    /// `QUEUE_PRIORITY` or `QUEUE_DSN`.
    pub fn set_queue(&self, key: i32, value: i64) -> Result<()> {
        check(unsafe { sys::queue_set(key, value) })?;
        Ok(())
    }

    /// Says whose mail this is, in the phases headers and message: 1 to 64
    /// printable ASCII characters without a space, or empty for nobody's. What
    /// the listener or a header field said gives way.
    pub fn set_tenant(&self, name: &str) -> Result<()> {
        self.label(abi::LABEL_TENANT, name)
    }

    /// Says which campaign the message belongs to, as [`Hook::set_tenant`] does.
    pub fn set_campaign(&self, name: &str) -> Result<()> {
        self.label(abi::LABEL_CAMPAIGN, name)
    }

    fn label(&self, key: i32, name: &str) -> Result<()> {
        let n = name.as_bytes();
        check(unsafe { sys::label_set(key, ptr(n), len(n)) })?;
        Ok(())
    }

    /// Injects a new message when the hook commits.
    pub fn emit(&self, e: Emission) -> Result<()> {
        let b = e.octets();
        check(unsafe { sys::emit(ptr(&b), len(&b)) })?;
        Ok(())
    }

    /// Adds a line "KEYWORD params" to the list that EHLO answers with (phase
    /// helo).
    pub fn add_ehlo(&self, line: &str) -> Result<()> {
        let l = line.as_bytes();
        check(unsafe { sys::ehlo_set(abi::EHLO_ADD, ptr(l), len(l)) })?;
        Ok(())
    }

    /// Takes a keyword out of that list.
    pub fn remove_ehlo(&self, keyword: &str) -> Result<()> {
        let k = keyword.as_bytes();
        check(unsafe { sys::ehlo_set(abi::EHLO_REMOVE, ptr(k), len(k)) })?;
        Ok(())
    }
}

impl Emission<'_> {
    pub(crate) fn octets(&self) -> Vec<u8> {
        let mut b = Vec::new();
        if !self.sender.is_empty() {
            tlv::push(&mut b, abi::EMIT_SENDER, self.sender.as_bytes());
        }
        for r in self.recipients {
            tlv::push(&mut b, abi::EMIT_RECIPIENT, r.as_bytes());
        }
        tlv::push(&mut b, abi::EMIT_HEADER, self.header.as_bytes());
        match self.body {
            Some(body) => tlv::push(&mut b, abi::EMIT_BODY, body),
            None => tlv::push(&mut b, abi::EMIT_BODY_OF_MESSAGE, &[]),
        }
        b
    }
}
