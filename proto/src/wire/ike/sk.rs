//! Messages whose payloads are sealed: in one Encrypted payload (RFC 7296 section 3.14), or cut up into Encrypted Fragment payloads
//! (RFC 7383).
//!
//! `header 28 | next payload 1 | reserved 1 | length 2 | [fragment number 2 | total fragments 2] | IV | ciphertext | ICV`; everything
//! in front of the IV is authenticated too.

use std::error::Error;
use std::fmt;

use adit_crypto::{Refused, SkKey};

use super::header::{HEADER_OCTETS, Header};
use super::payload::{GENERIC_OCTETS, Payload, kind, payloads};
use crate::wire::malformed::Malformed;

const FRAGMENT_NUMBERS_OCTETS: usize = 4;

/// Why a message was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSealed {
    /// Its payloads are that many octets: more than fit into a payload, or into fragments of that size.
    TooLong(usize),
    /// The key has sealed as many messages as it may.
    KeyUsedUp,
}

impl fmt::Display for NotSealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(octets) => {
                write!(f, "payloads of {octets} octets fit into no message")
            }
            Self::KeyUsedUp => f.write_str("the key has sealed all messages that it may"),
        }
    }
}

impl Error for NotSealed {}

/// Why a message was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// What is in front of the sealed octets cannot be read.
    Malformed(Malformed),
    /// Nothing in it is sealed.
    Clear,
    /// The ICV is wrong, or the octets are too few.
    NotAuthentic,
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Clear => f.write_str("nothing in it is sealed"),
            Self::NotAuthentic => f.write_str("not authentic"),
        }
    }
}

impl Error for NotOpened {}

/// What was sealed in a message, authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The payloads.
    Whole {
        /// The type of the first one.
        first: u8,
        /// The chain, to be read with [`opened_payloads()`](super::opened_payloads).
        chain: Vec<u8>,
    },
    /// A part of the payloads.
    Fragment {
        /// The type of the first one; meaningful in fragment 1 only.
        first: u8,
        /// Its number, from 1 to `total`.
        number: u16,
        /// How many there are.
        total: u16,
        /// Its part of the chain.
        part: Vec<u8>,
    },
}

/// Octets of the message that [`seal_message`] makes from so many of payloads.
#[must_use]
pub const fn message_octets(chain_octets: usize, key: &SkKey) -> usize {
    HEADER_OCTETS + GENERIC_OCTETS + key.body_octets(chain_octets)
}

/// Seals a chain of payloads whose first is of type `first`; first payload and length of the header are filled in. `iv` is
/// unpredictable.
///
/// # Errors
/// [`NotSealed`].
pub fn seal_message(
    header: &Header,
    first: u8,
    chain: &[u8],
    key: &mut SkKey,
    iv: [u8; 16],
) -> Result<Vec<u8>, NotSealed> {
    let generic = (kind::SK, first);
    seal(header, generic, &[], chain, key, iv)
}

/// Seals a chain of payloads in fragments whose messages have at most `message_octets` octets, each with an IV of its own.
///
/// # Errors
/// [`NotSealed`]; [`NotSealed::TooLong`] also when that many octets hold nothing.
pub fn seal_fragments(
    header: &Header,
    first: u8,
    chain: &[u8],
    key: &mut SkKey,
    message_octets: usize,
    mut next_iv: impl FnMut() -> [u8; 16],
) -> Result<Vec<Vec<u8>>, NotSealed> {
    let too_long = NotSealed::TooLong(chain.len());
    let part_octets = part_octets(message_octets, key).ok_or(too_long)?;
    let total = chain.len().div_ceil(part_octets).max(1);
    let total = u16::try_from(total).map_err(|_| too_long)?;
    let mut parts = chain.chunks(part_octets);
    let mut messages = Vec::with_capacity(usize::from(total));
    for number in 1..=total {
        let part = parts.next().unwrap_or_default();
        // Only the first fragment tells the type of the first payload (RFC 7383 section 2.5).
        let first = if number == 1 { first } else { kind::NONE };
        let numbers = [number.to_be_bytes(), total.to_be_bytes()].concat();
        let generic = (kind::SKF, first);
        messages.push(seal(header, generic, &numbers, part, key, next_iv())?);
    }
    Ok(messages)
}

/// Opens a message whose header was read; nothing in front of what is sealed is believed either before this succeeds.
///
/// # Errors
/// [`NotOpened`].
pub fn open(message: &[u8], key: &SkKey) -> Result<Opened, NotOpened> {
    let header = Header::parse(message).map_err(NotOpened::Malformed)?;
    let chain = message.get(HEADER_OCTETS..).unwrap_or_default();
    let outer = payloads(header.next_payload, chain).map_err(NotOpened::Malformed)?;
    let unseal = |offset: usize, body: &[u8]| {
        let associated = message.get(..HEADER_OCTETS + offset).ok_or(Refused)?;
        key.open(associated, body)
    };
    let opened = match outer.last() {
        Some(&Payload::Sk {
            offset,
            next_payload: first,
            body,
        }) => unseal(offset, body).map(|chain| Opened::Whole { first, chain }),
        Some(&Payload::Skf {
            offset,
            next_payload: first,
            number,
            total,
            body,
        }) => unseal(offset, body).map(|part| Opened::Fragment {
            first,
            number,
            total,
            part,
        }),
        _ => return Err(NotOpened::Clear),
    };
    opened.map_err(|Refused| NotOpened::NotAuthentic)
}

/// The most octets of payloads in a fragment, none if there is room for none.
fn part_octets(message_octets: usize, key: &SkKey) -> Option<usize> {
    let room = message_octets
        .min(HEADER_OCTETS + usize::from(u16::MAX))
        .checked_sub(HEADER_OCTETS + GENERIC_OCTETS + FRAGMENT_NUMBERS_OCTETS)?;
    // Padding makes it less than what IV and ICV leave; the shortest body tells by how much at most.
    let least = room.saturating_sub(2 * key.body_octets(0)).max(1);
    (least..=room)
        .rev()
        .find(|octets| key.body_octets(*octets) <= room)
}

fn seal(
    header: &Header,
    (kind, first): (u8, u8),
    numbers: &[u8],
    plaintext: &[u8],
    key: &mut SkKey,
    iv: [u8; 16],
) -> Result<Vec<u8>, NotSealed> {
    let too_long = NotSealed::TooLong(plaintext.len());
    let payload_octets = GENERIC_OCTETS + numbers.len() + key.body_octets(plaintext.len());
    let payload_length = u16::try_from(payload_octets).map_err(|_| too_long)?;
    let octets = HEADER_OCTETS + payload_octets;
    let header = Header {
        next_payload: kind,
        length: u32::try_from(octets).map_err(|_| too_long)?,
        ..*header
    };
    let mut message = Vec::with_capacity(octets);
    message.extend(header.octets());
    message.extend([first, 0]);
    message.extend(payload_length.to_be_bytes());
    message.extend_from_slice(numbers);
    let associated = message.clone();
    key.seal(&associated, plaintext, iv, &mut message)
        .map_err(|Refused| NotSealed::KeyUsedUp)?;
    Ok(message)
}
