// SPDX-License-Identifier: Apache-2.0

//! What a plugin implements, and how its exports reach it.

use crate::{abi, config, log, Hook, Level, Result, Value};

/// The moments at which a plugin is called, in the order of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the banner.
    Connect = abi::PHASE_CONNECT as isize,
    /// After STARTTLS or implicit TLS.
    Tls = abi::PHASE_TLS as isize,
    /// After EHLO or HELO.
    Helo = abi::PHASE_HELO as isize,
    /// After a successful AUTH.
    Auth = abi::PHASE_AUTH as isize,
    /// The sender is known.
    Mail = abi::PHASE_MAIL as isize,
    /// Recipient is known.
    Rcpt = abi::PHASE_RCPT as isize,
    /// All recipients are known, before 354.
    Data = abi::PHASE_DATA as isize,
    /// The header section is complete.
    Headers = abi::PHASE_HEADERS as isize,
    /// A chunk arrived.
    Body = abi::PHASE_BODY as isize,
    /// The whole message is readable.
    Message = abi::PHASE_MESSAGE as isize,
    /// The message is in the queue.
    Queued = abi::PHASE_QUEUED as isize,
    /// Before a next hop is chosen for recipient.
    Route = abi::PHASE_ROUTE as isize,
    /// Before a delivery attempt, counted from 1.
    Predeliver = abi::PHASE_PREDELIVER as isize,
    /// After a delivery attempt.
    Result = abi::PHASE_RESULT as isize,
    /// Before a report on recipient is built.
    Bounce = abi::PHASE_BOUNCE as isize,
    /// At an interval, without a message.
    Tick = abi::PHASE_TICK as isize,
    /// The transaction is over; the verdict is ignored.
    Reset = abi::PHASE_RESET as isize,
}

/// A set of phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Phases(pub i64);

impl Phases {
    /// No phase: the plugin is not called for this configuration.
    pub const NONE: Phases = Phases(0);
    /// Phase connect.
    pub const CONNECT: Phases = Phases(1 << abi::PHASE_CONNECT);
    /// Phase tls.
    pub const TLS: Phases = Phases(1 << abi::PHASE_TLS);
    /// Phase helo.
    pub const HELO: Phases = Phases(1 << abi::PHASE_HELO);
    /// Phase auth.
    pub const AUTH: Phases = Phases(1 << abi::PHASE_AUTH);
    /// Phase mail.
    pub const MAIL: Phases = Phases(1 << abi::PHASE_MAIL);
    /// Phase rcpt.
    pub const RCPT: Phases = Phases(1 << abi::PHASE_RCPT);
    /// Phase data.
    pub const DATA: Phases = Phases(1 << abi::PHASE_DATA);
    /// Phase headers.
    pub const HEADERS: Phases = Phases(1 << abi::PHASE_HEADERS);
    /// Phase body.
    pub const BODY: Phases = Phases(1 << abi::PHASE_BODY);
    /// Phase message.
    pub const MESSAGE: Phases = Phases(1 << abi::PHASE_MESSAGE);
    /// Phase queued.
    pub const QUEUED: Phases = Phases(1 << abi::PHASE_QUEUED);
    /// Phase route.
    pub const ROUTE: Phases = Phases(1 << abi::PHASE_ROUTE);
    /// Phase predeliver.
    pub const PREDELIVER: Phases = Phases(1 << abi::PHASE_PREDELIVER);
    /// Phase result.
    pub const RESULT: Phases = Phases(1 << abi::PHASE_RESULT);
    /// Phase bounce.
    pub const BOUNCE: Phases = Phases(1 << abi::PHASE_BOUNCE);
    /// Phase tick.
    pub const TICK: Phases = Phases(1 << abi::PHASE_TICK);
    /// Phase reset.
    pub const RESET: Phases = Phases(1 << abi::PHASE_RESET);

    /// Returns the set with `other` added when `cond` holds. Ask only for
    /// phases that have something to do: the others then cost nothing.
    pub fn with(self, other: Phases, cond: bool) -> Phases {
        if cond {
            return Phases(self.0 | other.0);
        }
        self
    }
}

/// What a hook says of the message or recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No opinion: the next stage is called.
    Continue = abi::VERDICT_CONTINUE as isize,
    /// Skip the remaining stages of this phase.
    Accept = abi::VERDICT_ACCEPT as isize,
    /// Refuse for good (5xx).
    Reject = abi::VERDICT_REJECT as isize,
    /// Refuse for now (4xx).
    Tempfail = abi::VERDICT_TEMPFAIL as isize,
    /// Answer 250 and drop.
    Discard = abi::VERDICT_DISCARD as isize,
    /// Accept, keep aside until released or expired.
    Quarantine = abi::VERDICT_QUARANTINE as isize,
    /// Accept, hold in the queue until released.
    Defer = abi::VERDICT_DEFER as isize,
    /// No more calls of this stage in this phase of the transaction.
    Skip = abi::VERDICT_SKIP as isize,
}

/// A plugin: made once per instance from its configuration, then called for
/// each hook of the phases it asked for.
pub trait Plugin: Sized {
    /// Reads the stage's config block, whose defaults the host filled in. The
    /// error is one sentence for the operator; the stage does not load then.
    fn new(config: &Value) -> std::result::Result<Self, String>;

    /// The phases that this configuration needs.
    fn phases(&self) -> Phases;

    /// Phase connect: before the banner.
    fn connect(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase tls: after STARTTLS or implicit TLS.
    fn tls(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase helo: after EHLO or HELO.
    fn helo(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase auth: after a successful AUTH.
    fn auth(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase mail: the sender is known.
    fn mail(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase rcpt: recipient `idx` is known.
    fn rcpt(&mut self, _h: &Hook, _idx: usize) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase data: all recipients are known, before 354.
    fn data(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase headers: the header section is complete.
    fn headers(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase body: a chunk of `len` octets arrived, [`crate::View::Chunk`].
    fn body(&mut self, _h: &Hook, _len: usize) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase message: the whole message is readable.
    fn message(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase queued: the message is in the queue.
    fn queued(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase route: before a next hop is chosen for recipient `idx`.
    fn route(&mut self, _h: &Hook, _idx: usize) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase predeliver: before a delivery attempt, counted from 1.
    fn predeliver(&mut self, _h: &Hook, _attempt: u32) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase result: after a delivery attempt.
    fn result(&mut self, _h: &Hook, _attempt: u32) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase bounce: before a report on recipient `idx` is built.
    fn bounce(&mut self, _h: &Hook, _idx: usize) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase tick: at an interval, without a message.
    fn tick(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase reset: the transaction is over; the verdict is ignored.
    fn reset(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }
}

/// Body of `pr_init`.
#[doc(hidden)]
pub fn init<P: Plugin>(slot: &mut Option<P>) -> i64 {
    log_panics();
    match config().and_then(|c| P::new(&c)) {
        Ok(p) => {
            let mask = p.phases().0;
            *slot = Some(p);
            mask
        }
        Err(text) => {
            log(Level::Error, &text);
            abi::ERR_BAD_ARGUMENT as i64
        }
    }
}

/// Body of `pr_on`.
#[doc(hidden)]
pub fn on<P: Plugin>(slot: &mut Option<P>, phase: i32, arg: i32) -> i32 {
    let p = match slot {
        Some(p) => p,
        None => return abi::ERR_WRONG_PHASE,
    };
    let h = Hook::new();
    let verdict = match phase {
        abi::PHASE_CONNECT => p.connect(&h),
        abi::PHASE_TLS => p.tls(&h),
        abi::PHASE_HELO => p.helo(&h),
        abi::PHASE_AUTH => p.auth(&h),
        abi::PHASE_MAIL => p.mail(&h),
        abi::PHASE_RCPT => p.rcpt(&h, arg as usize),
        abi::PHASE_DATA => p.data(&h),
        abi::PHASE_HEADERS => p.headers(&h),
        abi::PHASE_BODY => p.body(&h, arg as usize),
        abi::PHASE_MESSAGE => p.message(&h),
        abi::PHASE_QUEUED => p.queued(&h),
        abi::PHASE_ROUTE => p.route(&h, arg as usize),
        abi::PHASE_PREDELIVER => p.predeliver(&h, arg as u32),
        abi::PHASE_RESULT => p.result(&h, arg as u32),
        abi::PHASE_BOUNCE => p.bounce(&h, arg as usize),
        abi::PHASE_TICK => p.tick(&h),
        abi::PHASE_RESET => p.reset(&h),
        _ => Ok(Verdict::Continue),
    };
    match verdict {
        Ok(v) => v as i32,
        Err(e) => e.0,
    }
}

/// Makes a panic say in the log where it happened; then it traps, and the host
/// applies `on_error`. Formatted messages are left out, for they would pull
/// formatting code into every module.
fn log_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|info| {
        let mut text = String::from("panic");
        if let Some(l) = info.location() {
            text.push_str(" at ");
            text.push_str(l.file());
            text.push(':');
            crate::json::push_int(&mut text, l.line() as i64);
        }
        if let Some(s) = info.payload().downcast_ref::<&str>() {
            text.push_str(": ");
            text.push_str(s);
        }
        log(Level::Error, &text);
    }));
}

/// Makes a module's exports from a type that implements [`Plugin`].
#[macro_export]
macro_rules! plugin {
    ($t:ty) => {
        #[cfg(target_arch = "wasm32")]
        mod postroad_exports {
            use super::*;

            // A guest has one thread, and the host calls one export at a time.
            static mut INSTANCE: Option<$t> = None;

            #[no_mangle]
            pub extern "C" fn pr_init() -> i64 {
                unsafe { $crate::init(&mut *core::ptr::addr_of_mut!(INSTANCE)) }
            }

            #[no_mangle]
            pub extern "C" fn pr_on(phase: i32, arg: i32) -> i32 {
                unsafe { $crate::on(&mut *core::ptr::addr_of_mut!(INSTANCE), phase, arg) }
            }
        }
    };
}
