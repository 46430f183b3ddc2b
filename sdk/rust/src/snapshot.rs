// SPDX-License-Identifier: Apache-2.0

//! Everything at once.

use crate::{abi, sys, tlv, Hook, Result};

/// All that [`Hook::get`] and [`Hook::get_int`] tell, read with one call.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    fields: Vec<(i32, Vec<u8>)>,
    /// The recipients that the stage sees.
    pub recipients: Vec<Recipient>,
    /// Raw header fields with folding and CRLF; with the grant read headers.
    pub header: Vec<Vec<u8>>,
    /// What was scored so far: the symbol, and thousandths.
    pub symbols: Vec<(Vec<u8>, i32)>,
}

/// One recipient of a [`Snapshot`].
#[derive(Clone, Debug, Default)]
pub struct Recipient {
    /// Its index.
    pub index: usize,
    fields: Vec<(i32, Vec<u8>)>,
}

impl Hook {
    /// Reads everything at once. It pays for those who need more than about ten
    /// fields.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::parse(&sys::read(|b, c| unsafe {
            sys::snapshot(abi::SNAPSHOT_TLV, b, c)
        })?)
    }

    /// The same as JSON, for those who pass it on.
    pub fn snapshot_json(&self) -> Result<Vec<u8>> {
        sys::read(|b, c| unsafe { sys::snapshot(abi::SNAPSHOT_JSON, b, c) })
    }
}

impl Snapshot {
    pub(crate) fn parse(octets: &[u8]) -> Result<Snapshot> {
        let mut s = Snapshot::default();
        for entry in tlv::entries(octets) {
            match entry? {
                (abi::SNAPSHOT_TAG_RECIPIENT, v) => s.recipients.push(Recipient::parse(v)?),
                (abi::SNAPSHOT_TAG_HEADER, v) => s.header.push(v.to_vec()),
                (abi::SNAPSHOT_TAG_SYMBOL, v) if v.len() >= 4 => s
                    .symbols
                    .push((v[4..].to_vec(), tlv::number(&v[..4]) as i32)),
                (tag, v) => s.fields.push((tag, v.to_vec())),
            }
        }
        Ok(s)
    }

    /// The octets of a field of [`abi`], `None` when it is absent.
    pub fn octets(&self, field: i32) -> Option<&[u8]> {
        octets(&self.fields, field)
    }

    /// An integer field, `None` when it is absent.
    pub fn get_int(&self, field: i32) -> Option<i64> {
        int(&self.fields, field)
    }
}

impl Recipient {
    fn parse(octets: &[u8]) -> Result<Recipient> {
        let mut r = Recipient::default();
        for entry in tlv::entries(octets) {
            match entry? {
                (abi::SNAPSHOT_TAG_INDEX, v) => r.index = tlv::number(v) as usize,
                (tag, v) => r.fields.push((tag, v.to_vec())),
            }
        }
        Ok(r)
    }

    /// The octets of a field, such as `abi::FIELD_RCPT`.
    pub fn octets(&self, field: i32) -> Option<&[u8]> {
        octets(&self.fields, field)
    }

    /// An integer field of the recipient.
    pub fn get_int(&self, field: i32) -> Option<i64> {
        int(&self.fields, field)
    }
}

fn octets(fields: &[(i32, Vec<u8>)], field: i32) -> Option<&[u8]> {
    fields
        .iter()
        .find(|(tag, _)| *tag == field)
        .map(|(_, v)| v.as_slice())
}

fn int(fields: &[(i32, Vec<u8>)], field: i32) -> Option<i64> {
    octets(fields, field)
        .filter(|v| v.len() == 8)
        .map(|v| tlv::number(v) as i64)
}
