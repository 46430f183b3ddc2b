// SPDX-License-Identifier: Apache-2.0

//! The MIME tree of the message: phases message and predeliver.

use crate::{abi, check, lossy, optional, sys, Hook, Result};

/// Fields of a MIME part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PartField {
    Type = abi::PART_TYPE as isize,
    Parent = abi::PART_PARENT as isize,
    Depth = abi::PART_DEPTH as isize,
    Filename = abi::PART_FILENAME as isize,
    ContentId = abi::PART_CONTENT_ID as isize,
    Size = abi::PART_SIZE as isize,
    Sha256 = abi::PART_SHA256 as isize,
    Charset = abi::PART_CHARSET as isize,
    Encoding = abi::PART_ENCODING as isize,
}

/// A view of a MIME part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartView {
    /// As it stands in the message, its own header section included.
    Raw = abi::PART_VIEW_RAW as isize,
    /// With the transfer encoding undone.
    Decoded = abi::PART_VIEW_DECODED as isize,
    /// Decoded, as UTF-8; not supported when it is no text.
    Text = abi::PART_VIEW_TEXT as isize,
}

impl Hook {
    /// The number of MIME parts; part 0 is the whole message.
    pub fn part_count(&self) -> Result<usize> {
        check(unsafe { sys::part_count() })
    }

    /// A field of a MIME part, `None` when it is absent.
    pub fn part(&self, i: usize, field: PartField) -> Result<Option<String>> {
        let (i, f) = (i as i32, field as i32);
        Ok(optional(sys::read(|b, c| unsafe { sys::part_get(i, f, b, c) }))?.map(lossy))
    }

    /// Reads octets of a part from `off` on into `buf` and returns how many
    /// there were, 0 at the end.
    pub fn read_part(&self, i: usize, view: PartView, off: u64, buf: &mut [u8]) -> Result<usize> {
        let (b, c) = (buf.as_mut_ptr() as i32, buf.len() as i32);
        check(unsafe { sys::part_read(i as i32, view as i32, off as i64, b, c) })
    }
}
