//! The ISAKMP header (RFC 2408 section 3.1).
//!
//! `initiator's cookie 8 | responder's cookie 8 | next payload 1 | version 1 | exchange type 1 | flags 1 | message ID 4 | length 4`,
//! big-endian.

use std::fmt;

use crate::wire::malformed::{Malformed, Reader};

/// Octets of the header.
pub const HEADER_OCTETS: usize = 28;
/// The major version that this module reads.
pub const MAJOR: u8 = 1;

const ENCRYPTION: u8 = 0x01;
const COMMIT: u8 = 0x02;
const AUTHENTICATION_ONLY: u8 = 0x04;

/// What a message is about (RFC 2408 section 3.1, RFC 2409 appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeType {
    /// Identity Protection, 2: main mode.
    IdentityProtection,
    /// Aggressive, 4.
    Aggressive,
    /// Informational, 5.
    Informational,
    /// Transaction, 6: XAUTH and Mode Config.
    Transaction,
    /// Quick mode, 32.
    Quick,
    /// Any other number.
    Other(u8),
}

impl From<u8> for ExchangeType {
    fn from(value: u8) -> Self {
        match value {
            2 => Self::IdentityProtection,
            4 => Self::Aggressive,
            5 => Self::Informational,
            6 => Self::Transaction,
            32 => Self::Quick,
            other => Self::Other(other),
        }
    }
}

impl From<ExchangeType> for u8 {
    fn from(exchange: ExchangeType) -> Self {
        match exchange {
            ExchangeType::IdentityProtection => 2,
            ExchangeType::Aggressive => 4,
            ExchangeType::Informational => 5,
            ExchangeType::Transaction => 6,
            ExchangeType::Quick => 32,
            ExchangeType::Other(other) => other,
        }
    }
}

impl fmt::Display for ExchangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IdentityProtection => f.write_str("MAIN"),
            Self::Aggressive => f.write_str("AGGRESSIVE"),
            Self::Informational => f.write_str("INFORMATIONAL"),
            Self::Transaction => f.write_str("TRANSACTION"),
            Self::Quick => f.write_str("QUICK"),
            Self::Other(other) => write!(f, "exchange type {other}"),
        }
    }
}

/// The flags; the other bits are ignored and sent as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// E: what follows the header is encrypted.
    pub encryption: bool,
    /// C: the sender wants to tell when its side of an SA is in place.
    pub commit: bool,
    /// A: what follows is authenticated and not encrypted.
    pub authentication_only: bool,
}

impl Flags {
    /// Those of an encrypted message.
    pub const ENCRYPTED: Self = Self {
        encryption: true,
        commit: false,
        authentication_only: false,
    };
    /// Those of a message in the clear.
    pub const CLEAR: Self = Self {
        encryption: false,
        ..Self::ENCRYPTED
    };

    const fn from_octet(octet: u8) -> Self {
        Self {
            encryption: octet & ENCRYPTION != 0,
            commit: octet & COMMIT != 0,
            authentication_only: octet & AUTHENTICATION_ONLY != 0,
        }
    }

    const fn octet(self) -> u8 {
        let mut octet = 0;
        if self.encryption {
            octet |= ENCRYPTION;
        }
        if self.commit {
            octet |= COMMIT;
        }
        if self.authentication_only {
            octet |= AUTHENTICATION_ONLY;
        }
        octet
    }
}

/// The header of a message that is not authenticated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// CKY-I: the cookie that the initiator of the ISAKMP SA chose.
    pub cky_i: u64,
    /// CKY-R: the cookie that the responder chose; 0 in the first message.
    pub cky_r: u64,
    /// The type of the first payload, 0 for none.
    pub next_payload: u8,
    /// The major version: [`MAJOR`], unless the caller means to refuse it.
    pub major: u8,
    /// The minor version, which is ignored.
    pub minor: u8,
    /// What the message is about.
    pub exchange: ExchangeType,
    /// Whether it is encrypted.
    pub flags: Flags,
    /// M-ID: 0 in phase 1, elsewhere the number that an exchange's initiator drew.
    pub message_id: u32,
    /// Octets of the whole message.
    pub length: u32,
}

impl Header {
    /// A header of version 1.0 whose first payload and length [`write_message`](super::write_message) fills in.
    #[must_use]
    pub const fn new(
        cky_i: u64,
        cky_r: u64,
        exchange: ExchangeType,
        flags: Flags,
        message_id: u32,
    ) -> Self {
        Self {
            cky_i,
            cky_r,
            next_payload: 0,
            major: MAJOR,
            minor: 0,
            exchange,
            flags,
            message_id,
            length: 0,
        }
    }

    /// Reads the header of a whole message, of whatever version.
    ///
    /// # Errors
    /// Fewer than [`HEADER_OCTETS`] octets, or a length that is not that of `message`.
    pub fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new("header", message);
        let (cky_i, cky_r) = (reader.u64()?, reader.u64()?);
        let [next_payload, version, exchange, flags] = reader.array()?;
        let message_id = reader.u32()?;
        let at_length = reader;
        let length = reader.u32()?;
        let octets = usize::try_from(length).unwrap_or(usize::MAX);
        at_length.bounded("length", octets, message.len(), message.len())?;
        Ok(Self {
            cky_i,
            cky_r,
            next_payload,
            major: version >> 4,
            minor: version & 0x0f,
            exchange: exchange.into(),
            flags: Flags::from_octet(flags),
            message_id,
            length,
        })
    }

    /// CKY-I | CKY-R, the SPI of an ISAKMP SA in notify and delete payloads.
    #[must_use]
    pub fn cookies(&self) -> [u8; 16] {
        (u128::from(self.cky_i) << 64 | u128::from(self.cky_r)).to_be_bytes()
    }

    /// The header's octets, with the first payload and the length as they are here.
    #[must_use]
    pub fn octets(&self) -> [u8; HEADER_OCTETS] {
        let mut octets = [0; HEADER_OCTETS];
        let fields: [&[u8]; 4] = [
            &self.cookies(),
            &[
                self.next_payload,
                self.major << 4 | self.minor & 0x0f,
                self.exchange.into(),
                self.flags.octet(),
            ],
            &self.message_id.to_be_bytes(),
            &self.length.to_be_bytes(),
        ];
        for (out, octet) in octets.iter_mut().zip(fields.into_iter().flatten()) {
            *out = *octet;
        }
        octets
    }
}
