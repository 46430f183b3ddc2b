// SPDX-License-Identifier: Apache-2.0

//! State that all instances share: stores and buckets, granted by name.

use crate::sys::{self, len, ptr};
use crate::{abi, check, optional, Result};

/// A granted key-value store. Open it once, in [`crate::Plugin::new`].
#[derive(Clone, Copy, Debug)]
pub struct Store(i32);

impl Store {
    /// Opens the store with that name in pipeline.hcl.
    pub fn open(name: &str) -> Result<Store> {
        let n = name.as_bytes();
        Ok(Store(check(unsafe { sys::store(ptr(n), len(n)) })? as i32))
    }

    /// The value of a key, with this hook's own writes.
    pub fn get(self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        optional(sys::read(|b, c| unsafe { sys::kv_get(self.0, ptr(key), len(key), b, c) }))
    }

    /// Sets a key when the hook commits; `ttl_ms` 0 is the store's own.
    pub fn put(self, key: &[u8], value: &[u8], ttl_ms: i64) -> Result<()> {
        self.put_flags(key, value, ttl_ms, 0)
    }

    /// Sets a key that is absent, else fails with [`crate::Error::CONFLICT`].
    pub fn put_if_absent(self, key: &[u8], value: &[u8], ttl_ms: i64) -> Result<()> {
        self.put_flags(key, value, ttl_ms, abi::KV_IF_ABSENT)
    }

    fn put_flags(self, key: &[u8], value: &[u8], ttl_ms: i64, flags: i32) -> Result<()> {
        let (k, v) = (ptr(key), ptr(value));
        check(unsafe { sys::kv_put(self.0, k, len(key), v, len(value), ttl_ms, flags) })?;
        Ok(())
    }

    /// Deletes a key when the hook commits.
    pub fn delete(self, key: &[u8]) -> Result<()> {
        check(unsafe { sys::kv_del(self.0, ptr(key), len(key)) })?;
        Ok(())
    }

    /// Adds to a counter at once and returns its new value.
    pub fn add(self, key: &[u8], delta: i64, ttl_ms: i64) -> Result<i64> {
        let mut out = [0u8; 8];
        let o = out.as_mut_ptr() as i32;
        check(unsafe { sys::kv_add(self.0, ptr(key), len(key), delta, ttl_ms, o) })?;
        Ok(i64::from_le_bytes(out))
    }

    /// Replaces `old` by `new` when the hook commits, else fails with
    /// [`crate::Error::CONFLICT`].
    pub fn compare_and_swap(self, key: &[u8], old: &[u8], new: &[u8], ttl_ms: i64) -> Result<()> {
        let (k, o, n) = (ptr(key), ptr(old), ptr(new));
        let (kn, on, nn) = (len(key), len(old), len(new));
        check(unsafe { sys::kv_cas(self.0, k, kn, o, on, n, nn, ttl_ms) })?;
        Ok(())
    }
}

/// A granted token bucket. Open it once, in [`crate::Plugin::new`].
#[derive(Clone, Copy, Debug)]
pub struct Bucket(i32);

/// What a bucket answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The tokens were there and are taken.
    pub allowed: bool,
    /// Otherwise: how long until they will be there.
    pub wait_ms: i64,
}

impl Bucket {
    /// Opens the bucket with that name in pipeline.hcl.
    pub fn open(name: &str) -> Result<Bucket> {
        let n = name.as_bytes();
        Ok(Bucket(check(unsafe { sys::bucket(ptr(n), len(n)) })? as i32))
    }

    /// Takes tokens of the key's bucket, at once and for good.
    pub fn take(self, key: &str, cost: u32) -> Result<Taken> {
        let k = key.as_bytes();
        let mut out = [0u8; 8];
        let o = out.as_mut_ptr() as i32;
        let n = check(unsafe { sys::rate_take(self.0, ptr(k), len(k), cost as i32, o) })?;
        Ok(Taken { allowed: n == 1, wait_ms: i64::from_le_bytes(out) })
    }
}
