//! Why a message cannot be read, and the reader that says where.

use std::error::Error;
use std::fmt;

/// What is wrong with a message, and where: the peer's fault, never ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The structure in the words of RFC 7296 section 3 or RFC 2408 section 3: `"notify"`, `"transform"`.
    pub place: &'static str,
    /// Octets from the start of what was read to the value at fault.
    pub offset: usize,
    /// The value and its bound.
    pub why: Why,
}

/// The value at fault and its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A field of `needs` octets where only `has` are left.
    Short {
        /// Octets of the field.
        needs: usize,
        /// Octets that are left.
        has: usize,
    },
    /// A length or a number outside its bounds.
    Range {
        /// Which one.
        what: &'static str,
        /// The value.
        value: usize,
        /// The least that is allowed.
        least: usize,
        /// The most that is allowed.
        most: usize,
    },
    /// That many octets behind the last structure.
    Trailing(usize),
    /// More structures than the bound.
    TooMany(usize),
    /// A range that ends before it starts.
    Reversed(&'static str),
    /// An Encrypted payload inside of another.
    SealedTwice,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at octet {}: ", self.place, self.offset)?;
        match self.why {
            Why::Short { needs, has } => write!(f, "needs {needs} octets, {has} are left"),
            Why::Range {
                what,
                value,
                least,
                most,
            } if least == most => write!(f, "{what} {value} is not {least}"),
            Why::Range {
                what, value, least, ..
            } if value < least => {
                write!(f, "{what} {value} below minimum {least}")
            }
            Why::Range {
                what, value, most, ..
            } => write!(f, "{what} {value} above maximum {most}"),
            Why::Trailing(octets) => write!(f, "{octets} octets behind the last one"),
            Why::TooMany(most) => write!(f, "more than {most}"),
            Why::Reversed(what) => write!(f, "{what} ends before it starts"),
            Why::SealedTwice => f.write_str("an Encrypted payload inside of another"),
        }
    }
}

impl Error for Malformed {}

/// Octets that are read from front to back; it knows how far from the start of the whole they stand.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    place: &'static str,
    offset: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(place: &'static str, octets: &'a [u8]) -> Self {
        Self {
            place,
            offset: 0,
            rest: octets,
        }
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What went wrong here.
    pub(super) const fn error(&self, why: Why) -> Malformed {
        Malformed {
            place: self.place,
            offset: self.offset,
            why,
        }
    }

    /// Refuses a value outside its bounds.
    pub(super) const fn bounded(
        &self,
        what: &'static str,
        value: usize,
        least: usize,
        most: usize,
    ) -> Result<usize, Malformed> {
        if value < least || value > most {
            return Err(self.error(Why::Range {
                what,
                value,
                least,
                most,
            }));
        }
        Ok(value)
    }

    pub(super) fn take(&mut self, octets: usize) -> Result<&'a [u8], Malformed> {
        let Some((taken, rest)) = self.rest.split_at_checked(octets) else {
            return Err(self.error(Why::Short {
                needs: octets,
                has: self.left(),
            }));
        };
        self.rest = rest;
        self.offset += octets;
        Ok(taken)
    }

    /// The next octets as a structure of their own.
    pub(super) fn sub(&mut self, place: &'static str, octets: usize) -> Result<Self, Malformed> {
        let offset = self.offset;
        let rest = self.take(octets)?;
        Ok(Self {
            place,
            offset,
            rest,
        })
    }

    /// What is left as a structure of that name, which is looked at without being taken.
    pub(super) const fn peek(&self, place: &'static str) -> Self {
        Self { place, ..*self }
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.offset += self.rest.len();
        std::mem::take(&mut self.rest)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some((taken, rest)) = self.rest.split_first_chunk() else {
            return Err(self.error(Why::Short {
                needs: N,
                has: self.left(),
            }));
        };
        self.rest = rest;
        self.offset += N;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[octet]| octet)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// Refuses octets that nothing claimed.
    pub(super) const fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() {
            return Ok(());
        }
        Err(self.error(Why::Trailing(self.left())))
    }
}
