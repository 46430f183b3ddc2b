// SPDX-License-Identifier: Apache-2.0

//! Questions to the world outside: DNS, HTTP; and figures for it.

use crate::sys::{self, len, ptr};
use crate::{abi, check, lossy, optional, tlv, Hook, Result};

/// Numbers of DNS record types that [`Hook::lookup`] knows.
#[allow(missing_docs)]
pub mod rrtype {
    pub const A: i32 = 1;
    pub const CNAME: i32 = 5;
    pub const PTR: i32 = 12;
    pub const MX: i32 = 15;
    pub const TXT: i32 = 16;
    pub const AAAA: i32 = 28;
}

/// What the DNS says of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The records; none when the name does not exist or has no such records.
    pub records: Vec<Record>,
    /// Validated with DNSSEC.
    pub authenticated: bool,
}

/// One record of an [`Answer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Seconds for which it is good.
    pub ttl: u32,
    /// An address, a name without the last dot, or the octets of a TXT.
    pub data: Vec<u8>,
    /// Of an MX.
    pub preference: u16,
}

/// An HTTP request to a host that is granted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Empty: GET.
    pub method: &'a str,
    /// http or https.
    pub url: &'a str,
    /// Fields as "Name: value".
    pub header: &'a [&'a str],
    /// Empty: none.
    pub body: &'a [u8],
    /// 0: as long as the hook may take.
    pub timeout_ms: u32,
}

/// The answer to a [`Request`], valid until the hook ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    handle: i32,
    /// The status, such as 200.
    pub status: u32,
    /// Octets of the body.
    pub size: u64,
}

impl Hook {
    /// The records of a type, a number of [`rrtype`], at a name.
    pub fn lookup(&self, rrtype: i32, name: &str) -> Result<Answer> {
        let n = name.as_bytes();
        let b = sys::read(|b, c| unsafe { sys::dns(rrtype, ptr(n), len(n), b, c) });
        Answer::parse(&optional(b)?.unwrap_or_default())
    }

    /// Sends a request and waits for the answer. Up to three redirects are
    /// followed, to granted hosts alone; a status such as 500 is no error.
    pub fn fetch(&self, r: Request) -> Result<Response> {
        let q = r.octets(false);
        let mut head = [0u8; 12];
        let b = head.as_mut_ptr() as i32;
        let handle = check(unsafe { sys::http(ptr(&q), len(&q), b, head.len() as i32) })?;
        Ok(Response::parse(handle as i32, &head))
    }

    /// Sends a request when the hook commits. Nobody waits for the answer.
    pub fn send(&self, r: Request) -> Result<()> {
        let q = r.octets(true);
        check(unsafe { sys::http(ptr(&q), len(&q), 0, 0) })?;
        Ok(())
    }

    /// Adds to a counter of this stage. Labels go behind the name:
    /// `"name;key=value"`.
    pub fn count(&self, name: &str, n: i64) -> Result<()> {
        metric(abi::METRIC_COUNTER, name, n)
    }

    /// Sets a gauge of this stage.
    pub fn set_gauge(&self, name: &str, n: i64) -> Result<()> {
        metric(abi::METRIC_GAUGE, name, n)
    }

    /// Adds a value to a histogram of this stage.
    pub fn observe(&self, name: &str, n: i64) -> Result<()> {
        metric(abi::METRIC_HISTOGRAM, name, n)
    }
}

fn metric(kind: i32, name: &str, n: i64) -> Result<()> {
    let s = name.as_bytes();
    check(unsafe { sys::metric(kind, ptr(s), len(s), n) })?;
    Ok(())
}

impl Request<'_> {
    pub(crate) fn octets(&self, at_commit: bool) -> Vec<u8> {
        let mut b = Vec::new();
        if !self.method.is_empty() {
            tlv::push(&mut b, abi::HTTP_METHOD, self.method.as_bytes());
        }
        tlv::push(&mut b, abi::HTTP_URL, self.url.as_bytes());
        for f in self.header {
            tlv::push(&mut b, abi::HTTP_HEADER, f.as_bytes());
        }
        if !self.body.is_empty() {
            tlv::push(&mut b, abi::HTTP_BODY, self.body);
        }
        if self.timeout_ms > 0 {
            tlv::push(&mut b, abi::HTTP_TIMEOUT, &self.timeout_ms.to_le_bytes());
        }
        if at_commit {
            tlv::push(&mut b, abi::HTTP_AT_COMMIT, &[]);
        }
        b
    }
}

impl Response {
    pub(crate) fn parse(handle: i32, head: &[u8; 12]) -> Response {
        Response {
            handle,
            status: tlv::number(&head[..4]) as u32,
            size: tlv::number(&head[4..]),
        }
    }

    /// Reads octets of the body from `off` on into `buf` and returns how many
    /// there were, 0 at the end.
    pub fn read(&self, off: u64, buf: &mut [u8]) -> Result<usize> {
        let (b, c) = (buf.as_mut_ptr() as i32, buf.len() as i32);
        check(unsafe { sys::http_read(self.handle, off as i64, b, c) })
    }

    /// The first header field of that name.
    pub fn header(&self, name: &str) -> Result<Option<String>> {
        let n = name.as_bytes();
        let v = sys::read(|b, c| unsafe { sys::http_header(self.handle, ptr(n), len(n), b, c) });
        Ok(optional(v)?.map(lossy))
    }
}

impl Answer {
    pub(crate) fn parse(octets: &[u8]) -> Result<Answer> {
        let mut a = Answer::default();
        for entry in tlv::entries(octets) {
            match entry? {
                (abi::DNS_RECORD, v) => a.records.push(Record::parse(v)?),
                (abi::DNS_AUTHENTICATED, _) => a.authenticated = true,
                _ => {}
            }
        }
        Ok(a)
    }
}

impl Record {
    fn parse(octets: &[u8]) -> Result<Record> {
        let mut r = Record::default();
        for entry in tlv::entries(octets) {
            match entry? {
                (abi::DNS_TTL, v) => r.ttl = tlv::number(v) as u32,
                (abi::DNS_DATA, v) => r.data = v.to_vec(),
                (abi::DNS_PREFERENCE, v) => r.preference = tlv::number(v) as u16,
                _ => {}
            }
        }
        Ok(r)
    }
}
