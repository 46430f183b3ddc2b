// SPDX-License-Identifier: Apache-2.0

//! What the rules ask about a message, fetched from the host at most once.

use postroad::net::Ip;
use postroad::{abi, Field, Hook, Result};

pub struct Facts<'a> {
    pub h: &'a Hook,
    sender: Option<String>,
    client: Option<Option<Ip>>,
    size: Option<i64>,
}

impl Facts<'_> {
    pub fn new(h: &Hook) -> Facts {
        Facts { h, sender: None, client: None, size: None }
    }

    pub fn sender(&mut self) -> Result<&str> {
        if self.sender.is_none() {
            self.sender = Some(self.h.sender()?);
        }
        Ok(self.sender.as_deref().unwrap_or(""))
    }

    pub fn client(&mut self) -> Result<Option<Ip>> {
        if self.client.is_none() {
            self.client = Some(self.h.get(Field::ClientIp)?.and_then(|t| Ip::parse(&t)));
        }
        Ok(self.client.flatten())
    }

    /// Octets of the whole message.
    pub fn size(&mut self) -> i64 {
        *self.size.get_or_insert_with(|| self.h.get_int(abi::FIELD_MESSAGE_SIZE).unwrap_or(0))
    }
}
