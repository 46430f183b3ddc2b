// SPDX-License-Identifier: Apache-2.0

//! What a plugin implements, and how its exports reach it.

use crate::{abi, config, log, Hook, Level, Result, Value};

/// The moments at which a plugin is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// After MAIL FROM.
    Mail = abi::PHASE_MAIL as isize,
    /// After each RCPT TO.
    Rcpt = abi::PHASE_RCPT as isize,
    /// At the end of data: the whole message is readable.
    Message = abi::PHASE_MESSAGE as isize,
}

/// A set of phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Phases(pub i64);

impl Phases {
    /// No phase: the plugin is not called for this configuration.
    pub const NONE: Phases = Phases(0);
    /// Phase mail.
    pub const MAIL: Phases = Phases(1 << abi::PHASE_MAIL);
    /// Phase rcpt.
    pub const RCPT: Phases = Phases(1 << abi::PHASE_RCPT);
    /// Phase message.
    pub const MESSAGE: Phases = Phases(1 << abi::PHASE_MESSAGE);

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

    /// Phase mail: the sender is known.
    fn mail(&mut self, _h: &Hook) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase rcpt: recipient `idx` is known.
    fn rcpt(&mut self, _h: &Hook, _idx: usize) -> Result<Verdict> {
        Ok(Verdict::Continue)
    }

    /// Phase message: the whole message is readable.
    fn message(&mut self, _h: &Hook) -> Result<Verdict> {
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
        abi::PHASE_MAIL => p.mail(&h),
        abi::PHASE_RCPT => p.rcpt(&h, arg as usize),
        abi::PHASE_MESSAGE => p.message(&h),
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
