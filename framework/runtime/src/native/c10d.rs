//! Safe wrappers of the C++ shim's store and group, see `native/c10d.h`.

use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

use super::{Pointer, checked};
use crate::error::{Error, Result};

unsafe extern "C" {
    fn sbp_store_open(
        host: *const c_char,
        port: u16,
        serves: bool,
        timeout_ms: i64,
        store: *mut Pointer,
    ) -> c_int;
    fn sbp_store_close(store: Pointer);
    fn sbp_store_set(store: Pointer, key: *const c_char, bytes: *const u8, count: usize) -> c_int;
    fn sbp_store_get(store: Pointer, key: *const c_char, bytes: *mut *mut u8, count: *mut usize) -> c_int;
    fn sbp_bytes_free(bytes: *mut u8);
    fn sbp_store_add(store: Pointer, key: *const c_char, by: i64, sum: *mut i64) -> c_int;
    fn sbp_group_open(
        store: Pointer,
        prefix: *const c_char,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        interface: *const c_char,
        address: *const c_char,
        group: *mut Pointer,
    ) -> c_int;
    fn sbp_group_close(group: Pointer);
    fn sbp_group_exchange(group: Pointer, size: c_int, bytes: *const u8, count: usize, all: *mut u8)
    -> c_int;
    fn sbp_group_swap(
        group: Pointer,
        size: c_int,
        numbers: *const f32,
        to: *const usize,
        all: *mut f32,
        from: *const usize,
    ) -> c_int;
}

/// A connection to c10d's store over TCP.
#[derive(Debug)]
pub(crate) struct Store(Pointer);

// SAFETY: every operation of c10d's TCPStore takes its own lock.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    /// Connects, and serves the store if asked to; tries for so long.
    pub(crate) fn open(host: &str, port: u16, serves: bool, timeout: Duration) -> Result<Self> {
        let host = text(host)?;
        let mut store = ptr::null_mut();
        // SAFETY: a string that lives through the call, and a place for the result.
        checked(unsafe { sbp_store_open(host.as_ptr(), port, serves, millis(timeout), &raw mut store) })?;
        Ok(Self(store))
    }

    /// Puts something under a key.
    pub(crate) fn set(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let key = text(key)?;
        // SAFETY: an open store, and bytes and a string that live through the call.
        checked(unsafe { sbp_store_set(self.0, key.as_ptr(), bytes.as_ptr(), bytes.len()) })
    }

    /// What is under a key, if anything is. Does not wait.
    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let key = text(key)?;
        let (mut bytes, mut count) = (ptr::null_mut(), 0);
        // SAFETY: an open store, a string that lives through the call, and places for the result.
        checked(unsafe { sbp_store_get(self.0, key.as_ptr(), &raw mut bytes, &raw mut count) })?;
        if bytes.is_null() {
            return Ok(None);
        }
        // SAFETY: on success it is an array of as many bytes, which nobody else owns.
        let found = unsafe { std::slice::from_raw_parts(bytes, count) }.to_vec();
        // SAFETY: as above; it is not used after.
        unsafe { sbp_bytes_free(bytes) };
        Ok(Some(found))
    }

    /// Adds to the number under a key, 0 at first, and gives the sum.
    pub(crate) fn add(&self, key: &str, by: i64) -> Result<i64> {
        let key = text(key)?;
        let mut sum = 0;
        // SAFETY: an open store, a string that lives through the call, and a place for the result.
        checked(unsafe { sbp_store_add(self.0, key.as_ptr(), by, &raw mut sum) })?;
        Ok(sum)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: an open store, not used after.
        unsafe { sbp_store_close(self.0) };
    }
}

/// Processes that are connected with each other.
#[derive(Debug)]
pub(crate) struct Group {
    group: Pointer,
    size: usize,
}

// SAFETY: c10d's Gloo group hands its work to threads of its own, under a lock.
unsafe impl Send for Group {}
// SAFETY: as above; the order of operations is the caller's to keep.
unsafe impl Sync for Group {}

/// Where a process listens for the others of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listens {
    /// On a network interface.
    Interface(String),
    /// On an address of this machine.
    Address(String),
}

impl Group {
    /// Connects the processes that open a group with this prefix in the store.
    pub(crate) fn open(
        store: &Store,
        prefix: &str,
        (rank, size): (usize, usize),
        timeout: Duration,
        listens: &Listens,
    ) -> Result<Self> {
        let prefix = text(prefix)?;
        let (interface, address) = match listens {
            Listens::Interface(name) => (text(name)?, text("")?),
            Listens::Address(name) => (text("")?, text(name)?),
        };
        let mut group = ptr::null_mut();
        // SAFETY: an open store, strings that live through the call, and a place for the result.
        checked(unsafe {
            sbp_group_open(
                store.0,
                prefix.as_ptr(),
                number(rank)?,
                number(size)?,
                millis(timeout),
                interface.as_ptr(),
                address.as_ptr(),
                &raw mut group,
            )
        })?;
        Ok(Self { group, size })
    }

    /// Bytes of every process, by rank, one after the other.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut all = vec![0; self.size * bytes.len()];
        // SAFETY: an open group, and a place for the bytes of all.
        checked(unsafe {
            sbp_group_exchange(self.group, number(self.size)?, bytes.as_ptr(), bytes.len(), all.as_mut_ptr())
        })?;
        Ok(all)
    }

    /// Numbers that every process has for this one, by rank, one after the other; `numbers` are for them in the same way.
    pub(crate) fn swap(&self, numbers: &[f32], to: &[usize], from: &[usize]) -> Result<Vec<f32>> {
        assert_eq!([to.len(), from.len(), to.iter().sum()], [self.size, self.size, numbers.len()]);
        let mut all = vec![0.0; from.iter().sum()];
        // SAFETY: an open group, counts of every process, and as many numbers and places as these say.
        checked(unsafe {
            sbp_group_swap(
                self.group,
                number(self.size)?,
                numbers.as_ptr(),
                to.as_ptr(),
                all.as_mut_ptr(),
                from.as_ptr(),
            )
        })?;
        Ok(all)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: an open group, not used after.
        unsafe { sbp_group_close(self.group) };
    }
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Invalid(format!("{text:?} holds a zero byte")))
}

fn number(of: usize) -> Result<c_int> {
    c_int::try_from(of).map_err(|_| Error::Invalid(format!("{of} is no number of processes")))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
