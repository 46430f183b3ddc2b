// SPDX-License-Identifier: Apache-2.0

//! The config block, read once per instance.

use crate::headers::Rule;
use common::{all, bad, AddressList, NameList};
use postroad::net::Network;
use postroad::{Value, Verdict};

/// What happens to a message that a deny list matches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Reject,
    Tempfail,
    Discard,
    Quarantine,
}

/// The config block of a stage. Its keys are described in manifest.json.
pub struct Config {
    pub allow_client: Vec<Network>,
    pub allow_sender: AddressList,
    pub allow_recipient: AddressList,
    pub allow_header: Vec<Rule>,
    pub deny_client: Vec<Network>,
    pub deny_sender: AddressList,
    pub deny_recipient: AddressList,
    pub deny_header: Vec<Rule>,
    pub deny_attachment: NameList,
    pub action: Action,
    text: String,
}

impl Config {
    pub fn new(v: &Value) -> Result<Config, String> {
        let action = Action::new(v.text("action"), Action::Reject)?;
        let addresses = |key: &str| AddressList::new(key, &v.texts(key));
        let clients = |key: &str| {
            all(&v.texts(key), |n| Network::parse(n).ok_or_else(|| bad(key, n, "a network such as 192.0.2.0/24")))
        };
        let headers = |key: &str| all(v.list(key), |r| Rule::new(key, r, action));
        Ok(Config {
            allow_client: clients("allow_client")?,
            allow_sender: addresses("allow_sender")?,
            allow_recipient: addresses("allow_recipient")?,
            allow_header: headers("allow_header")?,
            deny_client: clients("deny_client")?,
            deny_sender: addresses("deny_sender")?,
            deny_recipient: addresses("deny_recipient")?,
            deny_header: headers("deny_header")?,
            deny_attachment: NameList::new("deny_attachment", &v.texts("deny_attachment"))?,
            action,
            text: v.text("text").to_string(),
        })
    }

    /// Whether client or sender alone can deny.
    pub fn denies_session(&self) -> bool {
        !self.deny_client.is_empty() || !self.deny_sender.is_empty()
    }

    /// Whether the message's content can deny.
    pub fn denies_content(&self) -> bool {
        !self.deny_header.is_empty() || !self.deny_attachment.is_empty()
    }

    /// The reply text of the stage, else `usual`.
    pub fn text_or<'a>(&'a self, usual: &'a str) -> &'a str {
        if self.text.is_empty() {
            return usual;
        }
        &self.text
    }
}

impl Action {
    pub fn new(name: &str, usual: Action) -> Result<Action, String> {
        match name {
            "" => Ok(usual),
            "reject" => Ok(Action::Reject),
            "tempfail" => Ok(Action::Tempfail),
            "discard" => Ok(Action::Discard),
            "quarantine" => Ok(Action::Quarantine),
            _ => Err(bad("action", name, "one of reject, tempfail, discard, quarantine")),
        }
    }

    /// Whether phase mail has this verdict.
    pub fn at_smtp(self) -> bool {
        matches!(self, Action::Reject | Action::Tempfail)
    }

    /// Whether phase rcpt has this verdict.
    pub fn at_rcpt(self) -> bool {
        self != Action::Quarantine
    }

    pub fn verdict(self) -> Verdict {
        match self {
            Action::Reject => Verdict::Reject,
            Action::Tempfail => Verdict::Tempfail,
            Action::Discard => Verdict::Discard,
            Action::Quarantine => Verdict::Quarantine,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Action::Reject => "reject",
            Action::Tempfail => "tempfail",
            Action::Discard => "discard",
            Action::Quarantine => "quarantine",
        }
    }
}
