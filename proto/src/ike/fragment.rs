//! Messages put together from their fragments (RFC 7383 section 2.6).
//!
//! Only fragments whose ICV verified come here, so that a stranger holds no memory. What a peer can hold is one message of
//! [`FRAGMENTS_MAX`] fragments and [`OCTETS_MAX`] octets, and each fragment costs the same whatever came before it: neither a list that
//! is searched again for every fragment (CVE-2016-10396), nor numbers that point nowhere (CVE-2013-6076), nor messages that never become
//! whole (CVE-2016-1344) can exhaust anything.

use std::fmt;

/// The most fragments of a message.
pub const FRAGMENTS_MAX: u16 = 64;
/// The most octets of a message's payloads.
pub const OCTETS_MAX: usize = 65_536;

/// One fragment, authenticated and decrypted.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// The message ID of its header.
    pub message_id: u32,
    /// The type of the message's first payload; only fragment 1 tells it.
    pub next_payload: u8,
    /// Its number, from 1.
    pub number: u16,
    /// How many there are.
    pub total: u16,
    /// Its part of the chain of payloads.
    pub octets: &'a [u8],
}

/// A message of which every fragment has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The type of the first payload.
    pub next_payload: u8,
    /// The chain of payloads.
    pub octets: Vec<u8>,
}

/// Why a fragment is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentRefused {
    /// Its number is 0 or beyond the total.
    Number,
    /// Its message has more than [`FRAGMENTS_MAX`] fragments.
    Total,
    /// Its message would have more than [`OCTETS_MAX`] octets; what was kept of it is forgotten.
    Octets,
    /// A fragment of that number is here already.
    Duplicate,
    /// It is of a message before the one that is being put together, or of that message cut into larger fragments, which the peer has
    /// given up.
    Stale,
}

impl fmt::Display for FragmentRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number => f.write_str("fragment number is 0 or beyond the total"),
            Self::Total => write!(f, "more than {FRAGMENTS_MAX} fragments"),
            Self::Octets => write!(f, "more than {OCTETS_MAX} octets in fragments"),
            Self::Duplicate => f.write_str("a fragment that is here already"),
            Self::Stale => f.write_str("a fragment of an earlier message or size"),
        }
    }
}

impl std::error::Error for FragmentRefused {}

/// The message that one direction of an IKE SA is sending in fragments.
#[derive(Debug, Default)]
pub struct Reassembly {
    message_id: u32,
    next_payload: u8,
    /// As many as the message's fragments; empty while there is none.
    slots: Vec<Option<Vec<u8>>>,
    missing: usize,
    octets: usize,
}

impl Reassembly {
    /// Keeps a fragment; the whole message with the last one that was missing, after which nothing of it is kept.
    ///
    /// A later message takes the place of an earlier one, and so does the same message in more fragments (RFC 7383 section 2.6).
    ///
    /// # Errors
    /// [`FragmentRefused`]: it is as if the fragment had not come, except after [`FragmentRefused::Octets`].
    pub fn add(&mut self, fragment: &Fragment<'_>) -> Result<Option<Whole>, FragmentRefused> {
        let total = usize::from(fragment.total);
        let place = usize::from(fragment.number).wrapping_sub(1);
        if fragment.total > FRAGMENTS_MAX {
            return Err(FragmentRefused::Total);
        }
        if place >= total {
            return Err(FragmentRefused::Number);
        }
        if !self.slots.is_empty() {
            let kept = (self.message_id, self.slots.len());
            if (fragment.message_id, total) < kept {
                return Err(FragmentRefused::Stale);
            }
            if (fragment.message_id, total) > kept {
                self.clear();
            }
        }
        if self.slots.is_empty() {
            self.begin(fragment.message_id, total);
        }
        self.keep(place, fragment)?;
        Ok((self.missing == 0).then(|| self.whole()))
    }

    /// Forgets what there is of a message.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn begin(&mut self, message_id: u32, total: usize) {
        self.message_id = message_id;
        self.slots.resize_with(total, || None);
        self.missing = total;
    }

    fn keep(&mut self, place: usize, fragment: &Fragment<'_>) -> Result<(), FragmentRefused> {
        let slot = self.slots.get_mut(place).ok_or(FragmentRefused::Number)?;
        if slot.is_some() {
            return Err(FragmentRefused::Duplicate);
        }
        if self.octets + fragment.octets.len() > OCTETS_MAX {
            self.clear();
            return Err(FragmentRefused::Octets);
        }
        *slot = Some(fragment.octets.to_vec());
        self.octets += fragment.octets.len();
        self.missing -= 1;
        if place == 0 {
            self.next_payload = fragment.next_payload;
        }
        Ok(())
    }

    fn whole(&mut self) -> Whole {
        let message = std::mem::take(self);
        let mut octets = Vec::with_capacity(message.octets);
        for part in message.slots.into_iter().flatten() {
            octets.extend(part);
        }
        Whole {
            next_payload: message.next_payload,
            octets,
        }
    }
}

#[cfg(test)]
mod tests;
