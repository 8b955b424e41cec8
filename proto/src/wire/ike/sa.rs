//! The security association payload: proposals, their transforms, and a transform's attributes (RFC 7296 section 3.3).
//!
//! Proposal: `last or more 1 | reserved 1 | length 2 | number 1 | protocol 1 | SPI octets 1 | transforms 1 | SPI | transforms`.
//! Transform: `last or more 1 | reserved 1 | length 2 | type 1 | reserved 1 | id 2 | attributes`.

use std::fmt;

use crate::wire::malformed::{Malformed, Reader};
use crate::wire::substructure;
pub use crate::wire::substructure::{PROPOSALS_MAX, TRANSFORMS_MAX};

/// The longest SPI, that of an IKE SA.
pub const SPI_OCTETS_MAX: usize = 8;

/// The attribute format bit: the value stands in place of a length.
const SHORT_FORMAT: u16 = 0x8000;
const KEY_LENGTH: u16 = 14;

/// The protocol that an SPI or a proposal is of (RFC 7296 section 3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// 1.
    Ike,
    /// 2.
    Ah,
    /// 3.
    Esp,
    /// Any other number.
    Other(u8),
}

impl From<u8> for Protocol {
    fn from(value: u8) -> Self {
        match value {
            1 => Self::Ike,
            2 => Self::Ah,
            3 => Self::Esp,
            other => Self::Other(other),
        }
    }
}

impl From<Protocol> for u8 {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Ike => 1,
            Protocol::Ah => 2,
            Protocol::Esp => 3,
            Protocol::Other(other) => other,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ike => f.write_str("IKE"),
            Self::Ah => f.write_str("AH"),
            Self::Esp => f.write_str("ESP"),
            Self::Other(other) => write!(f, "protocol {other}"),
        }
    }
}

/// What a transform is for (RFC 7296 section 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransformKind {
    /// 1: the cipher.
    Encr,
    /// 2: the pseudorandom function.
    Prf,
    /// 3: the integrity algorithm.
    Integ,
    /// 4: the key exchange method, a Diffie-Hellman group.
    Ke,
    /// 5: whether sequence numbers are extended.
    Esn,
    /// Any other number.
    Other(u8),
}

impl From<u8> for TransformKind {
    fn from(value: u8) -> Self {
        match value {
            1 => Self::Encr,
            2 => Self::Prf,
            3 => Self::Integ,
            4 => Self::Ke,
            5 => Self::Esn,
            other => Self::Other(other),
        }
    }
}

impl From<TransformKind> for u8 {
    fn from(kind: TransformKind) -> Self {
        match kind {
            TransformKind::Encr => 1,
            TransformKind::Prf => 2,
            TransformKind::Integ => 3,
            TransformKind::Ke => 4,
            TransformKind::Esn => 5,
            TransformKind::Other(other) => other,
        }
    }
}

impl fmt::Display for TransformKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encr => f.write_str("ENCR"),
            Self::Prf => f.write_str("PRF"),
            Self::Integ => f.write_str("INTEG"),
            Self::Ke => f.write_str("KE"),
            Self::Esn => f.write_str("ESN"),
            Self::Other(other) => write!(f, "transform type {other}"),
        }
    }
}

/// One algorithm of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transform {
    /// What it is for.
    pub kind: TransformKind,
    /// Its number in IANA's registry of that type.
    pub id: u16,
    /// The key length attribute, in bits.
    pub key_bits: Option<u16>,
    /// Whether it has an attribute that is not one key length: such a transform must not be chosen (RFC 7296 section 3.3.6).
    pub has_unknown_attribute: bool,
}

/// One alternative of the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its number, from 1 in a request; that of the chosen one in a response.
    pub number: u8,
    /// What it is for.
    pub protocol: Protocol,
    /// The sender's SPI, at most [`SPI_OCTETS_MAX`] octets: empty, 4 (ESP, AH) or 8 (IKE, when it is rekeyed).
    pub spi: Vec<u8>,
    /// Its algorithms, at most [`TRANSFORMS_MAX`].
    pub transforms: Vec<Transform>,
}

/// A security association payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaPayload {
    /// The sender's alternatives in the order of its preference, at most [`PROPOSALS_MAX`].
    pub proposals: Vec<Proposal>,
}

impl SaPayload {
    pub(super) fn parse(reader: Reader<'_>) -> Result<Self, Malformed> {
        let proposals = substructure::read_proposals(reader, Proposal::parse)?;
        Ok(Self { proposals })
    }

    /// The payload's body; what is beyond a bound is left out.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        substructure::write_proposals(&self.proposals, &mut body, Proposal::write);
        body
    }
}

impl Proposal {
    fn parse(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let [number, protocol] = reader.array()?;
        let at_octets = reader;
        let [spi_octets, count] = reader.array()?;
        let spi_octets =
            at_octets.bounded("SPI size", usize::from(spi_octets), 0, SPI_OCTETS_MAX)?;
        let count = at_octets.bounded("transforms", usize::from(count), 0, TRANSFORMS_MAX)?;
        let spi = reader.take(spi_octets)?.to_vec();
        let transforms = substructure::read_transforms(reader, count, Transform::parse)?;
        Ok(Self {
            number,
            protocol: protocol.into(),
            spi,
            transforms,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let spi = self.spi.get(..SPI_OCTETS_MAX).unwrap_or(&self.spi);
        let count = self.transforms.len().min(TRANSFORMS_MAX);
        out.extend([self.number, self.protocol.into()]);
        out.extend([spi.len(), count].map(|octet| u8::try_from(octet).unwrap_or(u8::MAX)));
        out.extend_from_slice(spi);
        substructure::write_transforms(&self.transforms, out, Transform::write);
    }
}

impl Transform {
    fn parse(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let [kind, _reserved] = reader.array()?;
        let mut transform = Self {
            kind: kind.into(),
            id: reader.u16()?,
            key_bits: None,
            has_unknown_attribute: false,
        };
        while !reader.is_empty() {
            let (kind, value) = (reader.u16()?, reader.u16()?);
            if kind & SHORT_FORMAT == 0 {
                reader.take(usize::from(value))?;
            }
            if kind == SHORT_FORMAT | KEY_LENGTH && transform.key_bits.is_none() {
                transform.key_bits = Some(value);
            } else {
                transform.has_unknown_attribute = true;
            }
        }
        Ok(transform)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let [high, low] = self.id.to_be_bytes();
        out.extend([self.kind.into(), 0, high, low]);
        if let Some(bits) = self.key_bits {
            out.extend((SHORT_FORMAT | KEY_LENGTH).to_be_bytes());
            out.extend(bits.to_be_bytes());
        }
    }
}
