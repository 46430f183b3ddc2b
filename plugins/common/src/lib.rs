// SPDX-License-Identifier: Apache-2.0

//! What several of the first-party plugins share: patterns for addresses and
//! names, lists of them, regular expressions with an error for the operator.

#![deny(missing_docs)]

mod address;
mod pattern;

pub use address::{domain, local, AddressList};
pub use pattern::{regexp, NameList};

/// Turns a result into the list of what was made, or the first error.
pub fn all<T, U>(items: &[T], f: impl Fn(&T) -> Result<U, String>) -> Result<Vec<U>, String> {
    let mut made = Vec::with_capacity(items.len());
    for i in items {
        made.push(f(i)?);
    }
    Ok(made)
}

/// Says that the value of a configuration key is not what it should be.
pub fn bad(key: &str, value: &str, want: &str) -> String {
    [key, ": \"", value, "\" is not ", want].concat()
}
