// SPDX-License-Identifier: Apache-2.0

//! TLV, the encoding of structured values: u16 tag, u32 length, octets,
//! little-endian, one entry behind the other.

use crate::{Error, Result};

const HEAD: usize = 6;

/// Appends one entry.
pub fn push(to: &mut Vec<u8>, tag: i32, value: &[u8]) {
    to.extend_from_slice(&(tag as u16).to_le_bytes());
    to.extend_from_slice(&(value.len() as u32).to_le_bytes());
    to.extend_from_slice(value);
}

/// Reads the entries one after the other. A damaged one is an error, and the
/// last item.
pub struct Entries<'a>(&'a [u8]);

/// Returns the entries of a TLV.
pub fn entries(octets: &[u8]) -> Entries<'_> {
    Entries(octets)
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(i32, &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let entry =
            head(self.0).and_then(|(tag, n)| Some((tag, self.0.get(HEAD..HEAD.checked_add(n)?)?)));
        match entry {
            Some((tag, value)) => {
                self.0 = &self.0[HEAD + value.len()..];
                Some(Ok((tag, value)))
            }
            None => {
                self.0 = &[];
                Some(Err(Error::BAD_ARGUMENT))
            }
        }
    }
}

fn head(b: &[u8]) -> Option<(i32, usize)> {
    let tag = number(b.get(..2)?) as i32;
    Some((tag, number(b.get(2..HEAD)?) as usize))
}

/// Little-endian octets as a number; more than 8 are cut off.
pub fn number(octets: &[u8]) -> u64 {
    octets
        .iter()
        .take(8)
        .rev()
        .fold(0, |n, b| n << 8 | u64::from(*b))
}
