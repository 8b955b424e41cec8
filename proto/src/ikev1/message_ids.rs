//! Message IDs behind phase 1, of both ends: none begins two exchanges.
//!
//! The HASH of a first message covers its ID but neither its exchange type nor who made it (RFC 2409 section 5.7), so that a message of the
//! peer, or of our own, could be had once more. R-U-THERE and its answer are not listed: they have numbers, and there may be one a second.

use std::collections::BTreeSet;

/// IDs that are remembered; then it is time for another ISAKMP SA.
const MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct MessageIds(BTreeSet<u32>);

impl MessageIds {
    /// Whether no exchange had that ID, which one has from here on; never when it is full.
    pub(super) fn take(&mut self, message_id: u32) -> bool {
        !self.is_full() && self.0.insert(message_id)
    }

    pub(super) fn is_taken(&self, message_id: u32) -> bool {
        self.0.contains(&message_id)
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_once_and_no_more_than_there_is_room_for() {
        let mut ids = MessageIds::default();
        let taken = (0..5000).filter(|number| ids.take(*number)).count();
        assert_eq!(taken, MAX);
        assert!(ids.is_full() && ids.is_taken(7) && !ids.take(7));
        assert!(!ids.is_taken(4999));
    }
}
