//! The message that arrives in fragments, and since when: what never becomes whole is dropped (RFC 7383 section 2.6).

use std::time::Instant;

use super::fragment::{Fragment, FragmentRefused, Reassembly, Whole};

/// One direction's.
#[derive(Default)]
pub(super) struct Partial {
    reassembly: Reassembly,
    since: Option<Instant>,
}

impl Partial {
    /// Keeps a fragment; the whole message with the last one that was missing.
    pub(super) fn add(
        &mut self,
        now: Instant,
        fragment: &Fragment<'_>,
    ) -> Result<Option<Whole>, FragmentRefused> {
        let whole = self.reassembly.add(fragment)?;
        self.since = if whole.is_some() {
            None
        } else {
            self.since.or(Some(now))
        };
        Ok(whole)
    }

    /// When the first fragment of what is incomplete came.
    pub(super) const fn since(&self) -> Option<Instant> {
        self.since
    }

    pub(super) fn clear(&mut self) {
        self.reassembly.clear();
        self.since = None;
    }
}
