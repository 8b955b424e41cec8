//! What outlives the daemon of a static security association: sequence numbers reserved ahead, and the edge of the receive window.

use std::ops::Range;
use std::path::Path;

use super::file::KeyFile;
use super::store::{StateError, Store};
use super::table::Direction;

/// How many sequence numbers are reserved at once.
pub const BLOCK_PACKETS: u64 = 1 << 24;

/// The first sequence number of a security association (RFC 4303 section 3.3.3).
const FIRST: u64 = 1;

/// The sequence numbers of an outbound key. While it lives, nobody else can open it.
#[derive(Debug)]
pub struct OutboundState {
    store: Store,
    limit: u64,
}

impl OutboundState {
    /// Opens what was used of the key in the file at `key_path`; `limit` is the last sequence number that may be used: 2³²−1 without
    /// extended sequence numbers, else `u64::MAX`, of which the last is left out.
    ///
    /// # Errors
    /// [`StateError`]: the key is in use, or which numbers were used cannot be told.
    pub fn open(key_path: &Path, key: &KeyFile, limit: u64) -> Result<Self, StateError> {
        let store = Store::open(key_path, key, Direction::Outbound)?;
        Ok(Self {
            store,
            limit: limit.min(u64::MAX - 1),
        })
    }

    /// Reserves the next block; what comes after a crash begins behind it. Waits for the disk.
    ///
    /// # Errors
    /// [`StateError`]: the state cannot be written, or no number is left. Nothing is reserved then.
    pub fn reserve(&mut self) -> Result<Range<u64>, StateError> {
        let start = self.store.number().unwrap_or(FIRST);
        if start > self.limit {
            return Err(StateError::Exhausted {
                path: self.store.path().to_owned(),
                limit: self.limit,
            });
        }
        let end = start.saturating_add(BLOCK_PACKETS).min(self.limit + 1);
        self.store.set(end)?;
        Ok(start..end)
    }
}

/// The right edge of the receive window of an inbound key. While it lives, nobody else can open it.
#[derive(Debug)]
pub struct InboundState {
    store: Store,
}

impl InboundState {
    /// Opens the edge of the key in the file at `key_path`.
    ///
    /// # Errors
    /// [`StateError`]: the key is in use, or the edge cannot be told.
    pub fn open(key_path: &Path, key: &KeyFile) -> Result<Self, StateError> {
        let store = Store::open(key_path, key, Direction::Inbound)?;
        Ok(Self { store })
    }

    /// The highest edge that was saved; 0 before the first.
    pub fn edge(&self) -> u64 {
        self.store.number().unwrap_or(0)
    }

    /// Saves the edge; it never moves back. Waits for the disk.
    ///
    /// # Errors
    /// [`StateError`]: the state cannot be written; the saved edge stays.
    pub fn save(&mut self, edge: u64) -> Result<(), StateError> {
        if edge <= self.edge() {
            return Ok(());
        }
        self.store.set(edge)
    }
}
