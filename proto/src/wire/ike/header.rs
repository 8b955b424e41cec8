//! The IKE header (RFC 7296 section 3.1).
//!
//! `initiator's SPI 8 | responder's SPI 8 | next payload 1 | version 1 | exchange type 1 | flags 1 | message ID 4 | length 4`, big-endian.

use std::fmt;

use crate::wire::malformed::{Malformed, Reader};

/// Octets of the header.
pub const HEADER_OCTETS: usize = 28;
/// The major version that this module reads.
pub const MAJOR: u8 = 2;

const INITIATOR: u8 = 0x08;
const VERSION: u8 = 0x10;
const RESPONSE: u8 = 0x20;

/// What a message is about (RFC 7296 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeType {
    /// `IKE_SA_INIT`, 34.
    IkeSaInit,
    /// `IKE_AUTH`, 35.
    IkeAuth,
    /// `CREATE_CHILD_SA`, 36.
    CreateChildSa,
    /// `INFORMATIONAL`, 37.
    Informational,
    /// Any other number.
    Other(u8),
}

impl From<u8> for ExchangeType {
    fn from(value: u8) -> Self {
        match value {
            34 => Self::IkeSaInit,
            35 => Self::IkeAuth,
            36 => Self::CreateChildSa,
            37 => Self::Informational,
            other => Self::Other(other),
        }
    }
}

impl From<ExchangeType> for u8 {
    fn from(exchange: ExchangeType) -> Self {
        match exchange {
            ExchangeType::IkeSaInit => 34,
            ExchangeType::IkeAuth => 35,
            ExchangeType::CreateChildSa => 36,
            ExchangeType::Informational => 37,
            ExchangeType::Other(other) => other,
        }
    }
}

impl fmt::Display for ExchangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IkeSaInit => f.write_str("IKE_SA_INIT"),
            Self::IkeAuth => f.write_str("IKE_AUTH"),
            Self::CreateChildSa => f.write_str("CREATE_CHILD_SA"),
            Self::Informational => f.write_str("INFORMATIONAL"),
            Self::Other(other) => write!(f, "exchange type {other}"),
        }
    }
}

/// The flags; the other bits are ignored and sent as zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// I: the sender is the original initiator of the IKE SA.
    pub initiator: bool,
    /// V: the sender can speak a higher major version.
    pub version: bool,
    /// R: this is a response.
    pub response: bool,
}

impl Flags {
    const fn from_octet(octet: u8) -> Self {
        Self {
            initiator: octet & INITIATOR != 0,
            version: octet & VERSION != 0,
            response: octet & RESPONSE != 0,
        }
    }

    const fn octet(self) -> u8 {
        let mut octet = 0;
        if self.initiator {
            octet |= INITIATOR;
        }
        if self.version {
            octet |= VERSION;
        }
        if self.response {
            octet |= RESPONSE;
        }
        octet
    }
}

/// The header of a message that is not authenticated yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The SPI that the original initiator chose.
    pub spi_i: u64,
    /// The SPI that the responder chose; 0 in the first request.
    pub spi_r: u64,
    /// The type of the first payload, 0 for none.
    pub next_payload: u8,
    /// The major version: [`MAJOR`], unless the caller means to refuse it.
    pub major: u8,
    /// The minor version, which is ignored.
    pub minor: u8,
    /// What the message is about.
    pub exchange: ExchangeType,
    /// Who sends it and whether it answers.
    pub flags: Flags,
    /// The number of the request and of its response.
    pub message_id: u32,
    /// Octets of the whole message.
    pub length: u32,
}

impl Header {
    /// A header of version 2.0 whose first payload and length [`write_message`](super::write_message) and
    /// [`seal_message`](super::sk::seal_message) fill in.
    #[must_use]
    pub const fn new(
        spi_i: u64,
        spi_r: u64,
        exchange: ExchangeType,
        flags: Flags,
        message_id: u32,
    ) -> Self {
        Self {
            spi_i,
            spi_r,
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
        let (spi_i, spi_r) = (reader.u64()?, reader.u64()?);
        let [next_payload, version, exchange, flags] = reader.array()?;
        let message_id = reader.u32()?;
        let at_length = reader;
        let length = reader.u32()?;
        let octets = usize::try_from(length).unwrap_or(usize::MAX);
        at_length.bounded("length", octets, message.len(), message.len())?;
        Ok(Self {
            spi_i,
            spi_r,
            next_payload,
            major: version >> 4,
            minor: version & 0x0f,
            exchange: exchange.into(),
            flags: Flags::from_octet(flags),
            message_id,
            length,
        })
    }

    /// The header's octets, with the first payload and the length as they are here.
    #[must_use]
    pub fn octets(&self) -> [u8; HEADER_OCTETS] {
        let mut octets = [0; HEADER_OCTETS];
        let fields: [&[u8]; 5] = [
            &self.spi_i.to_be_bytes(),
            &self.spi_r.to_be_bytes(),
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
