// SPDX-License-Identifier: Apache-2.0

//! One call of the plugin: facts to read, edits to make.

use crate::sys::{self, len, ptr};
use crate::{abi, check, header, lossy, optional, Error, Result, Verdict};

/// One hook. Its methods are calls of the host; edits take effect when the
/// hook returns a verdict, and none does when it returns an error.
pub struct Hook(());

/// A header field of the message, the same during the whole hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderId(i32);

/// Where a new header field goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In front of all fields.
    Top,
    /// Behind all fields.
    End,
    /// In front of that field.
    Before(HeaderId),
    /// Behind that field.
    After(HeaderId),
}

/// A view of the committed message, or of what has arrived of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Header section, empty line and body.
    Message = abi::VIEW_MESSAGE as isize,
    /// The body alone.
    Body = abi::VIEW_BODY as isize,
    /// What arrived, in phase body.
    Chunk = abi::VIEW_CHUNK as isize,
}

/// How long a note lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// With the message, in the queue too.
    Message = abi::SCOPE_MESSAGE as isize,
    /// With the connection.
    Session = abi::SCOPE_SESSION as isize,
}

/// An SMTP reply: code, enhanced code, one line of text.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// Three digits; 5xx for reject, 4xx for tempfail.
    pub code: u16,
    /// Enhanced status code (RFC 3463); zeros mean "class.7.1".
    pub enhanced: [u16; 3],
    /// The text that the client sees.
    pub text: &'a str,
}

/// Text fields of [`Hook::get`], by the numbers of [`abi`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Field {
    SessionId = abi::FIELD_SESSION_ID as isize,
    MessageId = abi::FIELD_MESSAGE_ID as isize,
    Stage = abi::FIELD_STAGE as isize,
    Protocol = abi::FIELD_PROTOCOL as isize,
    AuthMechanism = abi::FIELD_AUTH_MECHANISM as isize,
    ClientIp = abi::FIELD_CLIENT_IP as isize,
    Rdns = abi::FIELD_RDNS as isize,
    Helo = abi::FIELD_HELO as isize,
    TlsVersion = abi::FIELD_TLS_VERSION as isize,
    TlsCipher = abi::FIELD_TLS_CIPHER as isize,
    PeerCertSha256 = abi::FIELD_PEER_CERT_SHA256 as isize,
    AuthUser = abi::FIELD_AUTH_USER as isize,
    Listener = abi::FIELD_LISTENER as isize,
    SenderParams = abi::FIELD_SENDER_PARAMS as isize,
    OriginalSender = abi::FIELD_ORIGINAL_SENDER as isize,
    Tenant = abi::FIELD_TENANT as isize,
    Campaign = abi::FIELD_CAMPAIGN as isize,
    NextHop = abi::FIELD_NEXT_HOP as isize,
    HostVersion = abi::FIELD_HOST_VERSION as isize,
}

impl Hook {
    pub(crate) fn new() -> Hook {
        Hook(())
    }

    /// Octets of a field, `None` when it is absent.
    pub fn octets(&self, field: i32, idx: usize) -> Result<Option<Vec<u8>>> {
        optional(sys::read(|b, c| unsafe { sys::get(field, idx as i32, b, c) }))
    }

    /// A fact about session or message as text, `None` when it is absent.
    pub fn get(&self, field: Field) -> Result<Option<String>> {
        Ok(self.octets(field as i32, 0)?.map(lossy))
    }

    /// An integer field of [`abi`], `None` when it is absent.
    pub fn get_int(&self, field: i32) -> Option<i64> {
        self.get_int_at(field, 0)
    }

    /// An integer field of a recipient, `None` when it is absent.
    pub fn get_int_at(&self, field: i32, idx: usize) -> Option<i64> {
        match unsafe { sys::get_int(field, idx as i32) } {
            abi::ABSENT => None,
            n => Some(n),
        }
    }

    /// The envelope sender, empty for the null sender.
    pub fn sender(&self) -> Result<String> {
        Ok(self.octets(abi::FIELD_SENDER, 0)?.map(lossy).unwrap_or_default())
    }

    /// How many recipient indexes there are, removed ones included.
    pub fn recipient_count(&self) -> usize {
        self.get_int(abi::FIELD_RCPT_COUNT).unwrap_or(0).max(0) as usize
    }

    /// The address of a recipient; `None` when it was removed or is not for
    /// this stage.
    pub fn recipient(&self, idx: usize) -> Result<Option<String>> {
        Ok(self.octets(abi::FIELD_RCPT, idx)?.map(lossy))
    }

    /// The address that RCPT gave; `None` for a recipient that a stage added.
    pub fn original_recipient(&self, idx: usize) -> Result<Option<String>> {
        Ok(self.octets(abi::FIELD_ORIGINAL_RCPT, idx)?.map(lossy))
    }

    /// Sets the reply that goes with the verdict of this hook.
    pub fn reply(&self, r: Reply) -> Result<()> {
        let t = r.text.as_bytes();
        check(unsafe { sys::reply(r.code as i32, r.enh(), ptr(t), len(t)) })?;
        Ok(())
    }

    /// Refuses for good with 550 5.7.1 and `text`: `return h.reject("…")`.
    pub fn reject(&self, text: &str) -> Result<Verdict> {
        self.reply(Reply { code: 550, enhanced: [5, 7, 1], text })?;
        Ok(Verdict::Reject)
    }

    /// Refuses for now with 451 4.7.1 and `text`.
    pub fn tempfail(&self, text: &str) -> Result<Verdict> {
        self.reply(Reply { code: 451, enhanced: [4, 7, 1], text })?;
        Ok(Verdict::Tempfail)
    }

    /// Gives one recipient a verdict of its own (phase message).
    pub fn recipient_verdict(&self, idx: usize, v: Verdict, r: Option<Reply>) -> Result<()> {
        let r = r.unwrap_or(Reply { code: 0, enhanced: [0; 3], text: "" });
        let t = r.text.as_bytes();
        let (code, enh) = (r.code as i32, r.enh());
        check(unsafe { sys::rcpt_verdict(idx as i32, v as i32, code, enh, ptr(t), len(t)) })?;
        Ok(())
    }

    /// The first field of that name behind `after`, in any case; every field
    /// when the name is empty.
    pub fn find_header(&self, name: &str, after: Option<HeaderId>) -> Result<Option<HeaderId>> {
        let n = name.as_bytes();
        let from = after.map_or(-1, |id| id.0);
        match unsafe { sys::hdr_find(ptr(n), len(n), from) } {
            abi::ERR_NOT_FOUND => Ok(None),
            e if e < 0 => Err(Error(e)),
            id => Ok(Some(HeaderId(id))),
        }
    }

    /// The value of the first field of that name: decoded (RFC 2047), UTF-8.
    pub fn header(&self, name: &str) -> Result<Option<String>> {
        match self.find_header(name, None)? {
            Some(id) => Ok(Some(self.header_value(id)?)),
            None => Ok(None),
        }
    }

    /// A part of a field: `abi::HDR_NAME`, `HDR_RAW`, `HDR_UNFOLDED` or
    /// `HDR_DECODED`.
    pub fn header_part(&self, id: HeaderId, part: i32) -> Result<Vec<u8>> {
        sys::read(|b, c| unsafe { sys::hdr_get(id.0, part, b, c) })
    }

    /// The name of a field; empty for a line without a colon.
    pub fn header_name(&self, id: HeaderId) -> Result<String> {
        self.header_part(id, abi::HDR_NAME).map(lossy)
    }

    /// The value of a field, unfolded, RFC 2047 words decoded.
    pub fn header_value(&self, id: HeaderId) -> Result<String> {
        self.header_part(id, abi::HDR_DECODED).map(lossy)
    }

    /// Adds a field. Text outside ASCII is encoded (RFC 2047) unless the
    /// transaction has SMTPUTF8.
    pub fn add_header(&self, place: Place, name: &str, value: &str) -> Result<HeaderId> {
        let pos = match place {
            Place::Top => abi::POS_TOP,
            Place::End => abi::POS_END,
            Place::Before(id) => 1 + 2 * id.0,
            Place::After(id) => 2 + 2 * id.0,
        };
        let (n, v) = (name.as_bytes(), self.encode(value));
        let id = check(unsafe { sys::hdr_add(pos, ptr(n), len(n), ptr(&v), len(&v)) })?;
        Ok(HeaderId(id as i32))
    }

    /// Replaces the value of a field; name and place stay.
    pub fn set_header(&self, id: HeaderId, value: &str) -> Result<()> {
        let v = self.encode(value);
        check(unsafe { sys::hdr_set(id.0, ptr(&v), len(&v)) })?;
        Ok(())
    }

    /// Takes a field out.
    pub fn delete_header(&self, id: HeaderId) -> Result<()> {
        check(unsafe { sys::hdr_del(id.0) })?;
        Ok(())
    }

    fn encode(&self, value: &str) -> Vec<u8> {
        if value.is_ascii() || self.smtputf8() {
            return value.as_bytes().to_vec();
        }
        header::encode(value).into_bytes()
    }

    /// Whether the transaction has SMTPUTF8 (RFC 6531).
    pub fn smtputf8(&self) -> bool {
        self.get_int(abi::FIELD_FLAGS).unwrap_or(0) & abi::FLAG_SMTPUTF8 as i64 != 0
    }

    /// Adds a recipient and returns its index (phase message).
    pub fn add_recipient(&self, address: &str) -> Result<usize> {
        let a = address.as_bytes();
        check(unsafe { sys::rcpt_add(ptr(a), len(a)) })
    }

    /// Gives a recipient another address (phase rcpt: its own; message: any).
    pub fn set_recipient(&self, idx: usize, address: &str) -> Result<()> {
        let a = address.as_bytes();
        check(unsafe { sys::rcpt_set(idx as i32, ptr(a), len(a)) })?;
        Ok(())
    }

    /// Takes a recipient out of the envelope (phase message).
    pub fn delete_recipient(&self, idx: usize) -> Result<()> {
        check(unsafe { sys::rcpt_del(idx as i32) })?;
        Ok(())
    }

    /// Sets the envelope sender, empty for the null sender.
    pub fn set_sender(&self, address: &str) -> Result<()> {
        let a = address.as_bytes();
        check(unsafe { sys::sender_set(ptr(a), len(a)) })?;
        Ok(())
    }

    /// Octets of a view of the committed message.
    pub fn size(&self, view: View) -> Result<u64> {
        match unsafe { sys::msg_size(view as i32) } {
            e if e < 0 => Err(Error(e as i32)),
            n => Ok(n as u64),
        }
    }

    /// Reads octets of the committed message from `off` on into `buf` and
    /// returns how many there were, 0 at the end.
    pub fn read(&self, view: View, off: u64, buf: &mut [u8]) -> Result<usize> {
        let (b, c) = (buf.as_mut_ptr() as i32, buf.len() as i32);
        check(unsafe { sys::msg_read(view as i32, off as i64, b, c) })
    }

    /// Appends to the new body; `start` throws away what was written before.
    pub fn write_body(&self, octets: &[u8], start: bool) -> Result<()> {
        let flags = if start { abi::WRITE_START } else { 0 };
        check(unsafe { sys::body_write(ptr(octets), len(octets), flags) })?;
        Ok(())
    }

    /// A note by its full name `stage.key`, or an own one by its key.
    pub fn meta(&self, scope: Scope, key: &str) -> Result<Option<String>> {
        let (s, k) = (scope as i32, key.as_bytes());
        let v = sys::read(|b, c| unsafe { sys::meta_get(s, ptr(k), len(k), b, c) });
        Ok(optional(v)?.map(lossy))
    }

    /// Notes a value under `<own stage>.key`; an empty one deletes the note.
    pub fn set_meta(&self, scope: Scope, key: &str, value: &str) -> Result<()> {
        let (k, v) = (key.as_bytes(), value.as_bytes());
        check(unsafe { sys::meta_set(scope as i32, ptr(k), len(k), ptr(v), len(v)) })?;
        Ok(())
    }
}

impl Reply<'_> {
    fn enh(&self) -> i32 {
        let [class, subject, detail] = self.enhanced;
        (class as i32) << 20 | (subject as i32) << 10 | detail as i32
    }
}
