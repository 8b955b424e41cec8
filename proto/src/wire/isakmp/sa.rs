//! The security association payload: proposals and their transforms (RFC 2408 sections 3.4 to 3.6, RFC 2407 section 4.6.1).
//!
//! SA: `DOI 4 | situation 4 | proposals`.
//! Proposal: `last or more 1 | reserved 1 | length 2 | number 1 | protocol 1 | SPI octets 1 | transforms 1 | SPI | transforms`.
//! Transform: `last or more 1 | reserved 1 | length 2 | number 1 | id 1 | reserved 2 | attributes`.

use std::fmt;

use super::attribute::{self, Attribute};
use crate::wire::malformed::{Malformed, Reader};
use crate::wire::substructure;
pub use crate::wire::substructure::{PROPOSALS_MAX, TRANSFORMS_MAX};

/// The domain of interpretation of IPsec.
pub const DOI_IPSEC: u32 = 1;
/// SIT_IDENTITY_ONLY, the only situation that is spoken.
pub const SITUATION_IDENTITY_ONLY: u32 = 1;
/// The longest SPI, the cookies of an ISAKMP SA.
pub const SPI_OCTETS_MAX: usize = 16;

/// The protocol that an SPI or a proposal is of (RFC 2407 section 4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// PROTO_ISAKMP, 1.
    Isakmp,
    /// PROTO_IPSEC_AH, 2.
    Ah,
    /// PROTO_IPSEC_ESP, 3.
    Esp,
    /// Any other number.
    Other(u8),
}

impl From<u8> for Protocol {
    fn from(value: u8) -> Self {
        match value {
            1 => Self::Isakmp,
            2 => Self::Ah,
            3 => Self::Esp,
            other => Self::Other(other),
        }
    }
}

impl From<Protocol> for u8 {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Isakmp => 1,
            Protocol::Ah => 2,
            Protocol::Esp => 3,
            Protocol::Other(other) => other,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isakmp => f.write_str("ISAKMP"),
            Self::Ah => f.write_str("AH"),
            Self::Esp => f.write_str("ESP"),
            Self::Other(other) => write!(f, "protocol {other}"),
        }
    }
}

/// One alternative of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform<'a> {
    /// Its number, which the answer repeats.
    pub number: u8,
    /// Its number in the protocol: KEY_IKE (1), or that of an ESP cipher.
    pub id: u8,
    /// What makes it up, in the order of the message.
    pub attributes: Vec<Attribute<'a>>,
}

/// A proposal: one protocol and the alternatives for it. Those of the same number are meant together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Its number, which the answer repeats.
    pub number: u8,
    /// What it is for.
    pub protocol: Protocol,
    /// The SPI by which the sender receives; none, or of no meaning, with ISAKMP.
    pub spi: &'a [u8],
    /// The sender's alternatives in the order of its preference, at most [`TRANSFORMS_MAX`].
    pub transforms: Vec<Transform<'a>>,
}

/// A security association payload of the IPsec DOI and the situation SIT_IDENTITY_ONLY.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaPayload<'a> {
    /// The proposals, at most [`PROPOSALS_MAX`].
    pub proposals: Vec<Proposal<'a>>,
}

impl<'a> SaPayload<'a> {
    pub(super) fn parse(mut reader: Reader<'a>) -> Result<Self, Malformed> {
        exactly(&mut reader, "DOI", DOI_IPSEC)?;
        exactly(&mut reader, "situation", SITUATION_IDENTITY_ONLY)?;
        let proposals = substructure::read_proposals(reader, Proposal::parse)?;
        Ok(Self { proposals })
    }

    /// The payload's body, SAi_b where the initiator sends it (RFC 2409 section 5); what is beyond a bound is left out.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let mut body = [DOI_IPSEC, SITUATION_IDENTITY_ONLY]
            .map(u32::to_be_bytes)
            .concat();
        substructure::write_proposals(&self.proposals, &mut body, Proposal::write);
        body
    }
}

impl<'a> Proposal<'a> {
    fn parse(mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let [number, protocol] = reader.array()?;
        let at_octets = reader;
        let [spi_octets, count] = reader.array()?;
        let spi_octets =
            at_octets.bounded("SPI size", usize::from(spi_octets), 0, SPI_OCTETS_MAX)?;
        let count = at_octets.bounded("transforms", usize::from(count), 0, TRANSFORMS_MAX)?;
        let spi = reader.take(spi_octets)?;
        let transforms = substructure::read_transforms(reader, count, Transform::parse)?;
        Ok(Self {
            number,
            protocol: protocol.into(),
            spi,
            transforms,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        let spi = self.spi.get(..SPI_OCTETS_MAX).unwrap_or(self.spi);
        let count = self.transforms.len().min(TRANSFORMS_MAX);
        out.extend([self.number, self.protocol.into()]);
        out.extend([spi.len(), count].map(|octet| u8::try_from(octet).unwrap_or(u8::MAX)));
        out.extend_from_slice(spi);
        substructure::write_transforms(&self.transforms, out, Transform::write);
    }
}

impl<'a> Transform<'a> {
    fn parse(mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let [number, id, _, _] = reader.array()?;
        let attributes = attribute::parse(reader)?;
        Ok(Self {
            number,
            id,
            attributes,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.number, self.id, 0, 0]);
        for attribute in self.attributes.iter().take(attribute::ATTRIBUTES_MAX) {
            attribute.write(out);
        }
    }
}

fn exactly(reader: &mut Reader<'_>, what: &'static str, wanted: u32) -> Result<(), Malformed> {
    let at = *reader;
    let [value, wanted] =
        [reader.u32()?, wanted].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    at.bounded(what, value, wanted, wanted).map(drop)
}
