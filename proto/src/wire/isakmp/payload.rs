//! The chain of payloads (RFC 2408 section 3.2): each `next payload 1 | reserved 1 | length 2 | body`.

use std::net::IpAddr;

use super::attribute::{self, Attribute};
use super::sa::{Protocol, SaPayload};
use crate::wire::malformed::{Malformed, Reader, Why};

/// The most payloads in a chain.
pub const PAYLOADS_MAX: usize = 64;
/// Octets before a payload's body.
pub const GENERIC_OCTETS: usize = 4;
/// Octets of a nonce, at least (RFC 2409 section 5).
pub const NONCE_OCTETS_MIN: usize = 8;
/// Octets of a nonce, at most.
pub const NONCE_OCTETS_MAX: usize = 256;

/// Zero octets that may stand behind a chain in the clear: some implementations fill messages up to a multiple of four.
const FILL_OCTETS_MAX: usize = 3;

/// The numbers of payload types (RFC 2408 section 3.1, RFC 3947 section 3.2, draft-dukes-ike-mode-cfg-02 section 3.2).
pub mod kind {
    /// No further payload.
    pub const NONE: u8 = 0;
    /// Security association.
    pub const SA: u8 = 1;
    /// Key exchange.
    pub const KE: u8 = 4;
    /// Identification.
    pub const ID: u8 = 5;
    /// Certificate.
    pub const CERT: u8 = 6;
    /// Certificate request.
    pub const CR: u8 = 7;
    /// Hash.
    pub const HASH: u8 = 8;
    /// Signature.
    pub const SIG: u8 = 9;
    /// Nonce.
    pub const NONCE: u8 = 10;
    /// Notification.
    pub const NOTIFY: u8 = 11;
    /// Delete.
    pub const DELETE: u8 = 12;
    /// Vendor ID.
    pub const VENDOR_ID: u8 = 13;
    /// Attributes of XAUTH and Mode Config.
    pub const ATTRIBUTES: u8 = 14;
    /// NAT detection.
    pub const NAT_D: u8 = 20;
    /// Original address of an end behind a NAT.
    pub const NAT_OA: u8 = 21;
    /// NAT detection, of the drafts before RFC 3947.
    pub const NAT_D_DRAFT: u8 = 130;
    /// Original address, of the drafts before RFC 3947.
    pub const NAT_OA_DRAFT: u8 = 131;
}

/// An identity as it stands on the wire (RFC 2407 section 4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<'a> {
    /// The ID type.
    pub kind: u8,
    /// The IP protocol, 0 for any.
    pub protocol: u8,
    /// The port, 0 for any.
    pub port: u16,
    /// The identification data.
    pub data: &'a [u8],
}

/// A notification payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify<'a> {
    /// The domain of interpretation: 1 for IPsec, 0 for ISAKMP's own.
    pub doi: u32,
    /// The protocol of the SPI.
    pub protocol: Protocol,
    /// The SPI: the cookies of an ISAKMP SA, four octets of an IPsec SA, or none.
    pub spi: &'a [u8],
    /// The notify message type: a constant of [`notify`](super::notify).
    pub kind: u16,
    /// The notification data.
    pub data: &'a [u8],
}

/// A delete payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delete {
    /// ISAKMP SAs, by their cookies: CKY-I | CKY-R.
    Isakmp(Vec<[u8; 16]>),
    /// IPsec SAs, by the SPIs by which the sender receives.
    Ipsec {
        /// AH or ESP.
        protocol: Protocol,
        /// The SPIs.
        spis: Vec<u32>,
    },
}

/// What an attributes payload is for (draft-dukes-ike-mode-cfg-02 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigKind {
    /// ISAKMP_CFG_REQUEST, 1.
    Request,
    /// ISAKMP_CFG_REPLY, 2.
    Reply,
    /// ISAKMP_CFG_SET, 3.
    Set,
    /// ISAKMP_CFG_ACK, 4.
    Ack,
    /// Any other number.
    Other(u8),
}

impl From<u8> for ConfigKind {
    fn from(value: u8) -> Self {
        match value {
            1 => Self::Request,
            2 => Self::Reply,
            3 => Self::Set,
            4 => Self::Ack,
            other => Self::Other(other),
        }
    }
}

impl From<ConfigKind> for u8 {
    fn from(kind: ConfigKind) -> Self {
        match kind {
            ConfigKind::Request => 1,
            ConfigKind::Reply => 2,
            ConfigKind::Set => 3,
            ConfigKind::Ack => 4,
            ConfigKind::Other(other) => other,
        }
    }
}

/// An attributes payload: XAUTH and Mode Config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// What it is for.
    pub kind: ConfigKind,
    /// The number that the answer repeats.
    pub identifier: u16,
    /// What is asked for or told.
    pub attributes: Vec<Attribute<'a>>,
}

/// A payload; the octets are those of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// SA.
    Sa {
        /// The proposals.
        sa: SaPayload<'a>,
        /// The whole body, SAi_b where it is the initiator's (RFC 2409 section 5).
        body: &'a [u8],
    },
    /// KE: a public key, of any length.
    Ke(&'a [u8]),
    /// ID.
    Id(Id<'a>),
    /// CERT.
    Cert {
        /// The certificate encoding.
        encoding: u8,
        /// The certificate.
        data: &'a [u8],
    },
    /// CR.
    CertRequest {
        /// The certificate type.
        encoding: u8,
        /// The distinguished name of an authority, or nothing.
        authority: &'a [u8],
    },
    /// HASH: of any length.
    Hash(&'a [u8]),
    /// SIG.
    Signature(&'a [u8]),
    /// NONCE: [`NONCE_OCTETS_MIN`] to [`NONCE_OCTETS_MAX`] octets.
    Nonce(&'a [u8]),
    /// N.
    Notify(Notify<'a>),
    /// D.
    Delete(Delete),
    /// VID.
    VendorId(&'a [u8]),
    /// ATTR.
    Attributes(Attributes<'a>),
    /// NAT-D: a hash.
    NatD {
        /// Whether it has the drafts' number.
        is_draft: bool,
        /// The hash.
        hash: &'a [u8],
    },
    /// NAT-OA.
    NatOa {
        /// Whether it has the drafts' number.
        is_draft: bool,
        /// The original address; none when it is of another type.
        address: Option<IpAddr>,
    },
    /// A type that is not known here.
    Unknown {
        /// Its number.
        kind: u8,
        /// The body.
        body: &'a [u8],
    },
}

/// The payloads of a message that was decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// The payloads.
    pub payloads: Vec<Payload<'a>>,
    /// The chain without the padding behind it.
    pub chain: &'a [u8],
}

impl<'a> Opened<'a> {
    /// The HASH that stands first, and all behind it but the padding: what HASH(1), HASH(2) and those of transactions are of (RFC 2409
    /// section 5.5). None if another payload stands first.
    #[must_use]
    pub fn hash_and_rest(&self) -> Option<(&'a [u8], &'a [u8])> {
        let Some(Payload::Hash(hash)) = self.payloads.first() else {
            return None;
        };
        let rest = self.chain.get(GENERIC_OCTETS + hash.len()..)?;
        Some((*hash, rest))
    }
}

/// Reads a chain whose first payload is of type `first`: what follows the header of a message in the clear.
///
/// # Errors
/// A payload that is shorter than its fields or longer than what is left, more than [`PAYLOADS_MAX`] of them, octets behind the last
/// one, or a field outside its bounds. Up to three zero octets behind the last one are passed over.
pub fn payloads(first: u8, octets: &[u8]) -> Result<Vec<Payload<'_>>, Malformed> {
    let (payloads, mut rest) = chain(first, octets)?;
    let fill = rest;
    let is_fill = fill.left() <= FILL_OCTETS_MAX && rest.rest().iter().all(|octet| *octet == 0);
    match is_fill && !payloads.is_empty() {
        true => Ok(payloads),
        false => fill.end().map(|()| payloads),
    }
}

/// As [`payloads`], of what was decrypted: whatever stands behind the last payload is padding (RFC 2409 appendix B).
///
/// # Errors
/// Those of [`payloads`] but octets behind the last payload.
pub fn opened(first: u8, octets: &[u8]) -> Result<Opened<'_>, Malformed> {
    let (payloads, rest) = chain(first, octets)?;
    let chain = octets.get(..rest.offset()).unwrap_or(octets);
    Ok(Opened { payloads, chain })
}

fn chain(first: u8, octets: &[u8]) -> Result<(Vec<Payload<'_>>, Reader<'_>), Malformed> {
    let mut reader = Reader::new("payloads", octets);
    let mut payloads = Vec::new();
    let mut next = first;
    while next != kind::NONE {
        if payloads.len() == PAYLOADS_MAX {
            return Err(reader.error(Why::TooMany(PAYLOADS_MAX)));
        }
        let mut generic = reader.peek("payload");
        let [following, _reserved] = generic.array()?;
        let at_length = generic;
        let length = usize::from(generic.u16()?);
        at_length.bounded("length", length, GENERIC_OCTETS, reader.left())?;
        reader.take(GENERIC_OCTETS)?;
        let body = reader.sub(place(next), length - GENERIC_OCTETS)?;
        payloads.push(payload(next, body)?);
        next = following;
    }
    Ok((payloads, reader))
}

fn payload(this: u8, mut body: Reader<'_>) -> Result<Payload<'_>, Malformed> {
    Ok(match this {
        kind::SA => Payload::Sa {
            sa: SaPayload::parse(body)?,
            body: body.rest(),
        },
        kind::KE => Payload::Ke(body.rest()),
        kind::ID => Payload::Id(id(body)?),
        kind::CERT => Payload::Cert {
            encoding: body.u8()?,
            data: body.rest(),
        },
        kind::CR => Payload::CertRequest {
            encoding: body.u8()?,
            authority: body.rest(),
        },
        kind::HASH => Payload::Hash(body.rest()),
        kind::SIG => Payload::Signature(body.rest()),
        kind::NONCE => {
            body.bounded("length", body.left(), NONCE_OCTETS_MIN, NONCE_OCTETS_MAX)?;
            Payload::Nonce(body.rest())
        }
        kind::NOTIFY => Payload::Notify(notify(body)?),
        kind::DELETE => Payload::Delete(delete(body)?),
        kind::VENDOR_ID => Payload::VendorId(body.rest()),
        kind::ATTRIBUTES => Payload::Attributes(attributes(body)?),
        kind::NAT_D | kind::NAT_D_DRAFT => Payload::NatD {
            is_draft: this == kind::NAT_D_DRAFT,
            hash: body.rest(),
        },
        kind::NAT_OA | kind::NAT_OA_DRAFT => Payload::NatOa {
            is_draft: this == kind::NAT_OA_DRAFT,
            address: original_address(body)?,
        },
        other => Payload::Unknown {
            kind: other,
            body: body.rest(),
        },
    })
}

const fn place(this: u8) -> &'static str {
    match this {
        kind::SA => "security association",
        kind::KE => "key exchange",
        kind::ID => "identification",
        kind::CERT => "certificate",
        kind::CR => "certificate request",
        kind::NONCE => "nonce",
        kind::NOTIFY => "notification",
        kind::DELETE => "delete",
        kind::ATTRIBUTES => "attributes",
        kind::NAT_OA | kind::NAT_OA_DRAFT => "original address",
        _ => "payload",
    }
}

fn id(mut body: Reader<'_>) -> Result<Id<'_>, Malformed> {
    let [kind, protocol] = body.array()?;
    Ok(Id {
        kind,
        protocol,
        port: body.u16()?,
        data: body.rest(),
    })
}

fn notify(mut body: Reader<'_>) -> Result<Notify<'_>, Malformed> {
    let doi = body.u32()?;
    let [protocol, spi_octets] = body.array()?;
    let kind = body.u16()?;
    Ok(Notify {
        doi,
        protocol: protocol.into(),
        spi: body.take(usize::from(spi_octets))?,
        kind,
        data: body.rest(),
    })
}

fn delete(mut body: Reader<'_>) -> Result<Delete, Malformed> {
    let _doi = body.u32()?;
    let at = body;
    let [protocol, spi_octets] = body.array()?;
    let count = usize::from(body.u16()?);
    at.bounded("protocol", usize::from(protocol), 1, 3)?;
    let protocol = Protocol::from(protocol);
    let octets = match protocol {
        Protocol::Isakmp => 16,
        Protocol::Ah | Protocol::Esp | Protocol::Other(_) => 4,
    };
    at.bounded("SPI size", usize::from(spi_octets), octets, octets)?;
    let mut spis = body.sub("delete", count * octets)?;
    body.end()?;
    Ok(match protocol {
        Protocol::Isakmp => {
            let cookies: Result<_, _> = (0..count).map(|_| spis.array()).collect();
            Delete::Isakmp(cookies?)
        }
        Protocol::Ah | Protocol::Esp | Protocol::Other(_) => Delete::Ipsec {
            protocol,
            spis: (0..count).map(|_| spis.u32()).collect::<Result<_, _>>()?,
        },
    })
}

fn attributes(mut body: Reader<'_>) -> Result<Attributes<'_>, Malformed> {
    let [kind, _reserved] = body.array()?;
    Ok(Attributes {
        kind: kind.into(),
        identifier: body.u16()?,
        attributes: attribute::parse(body)?,
    })
}

fn original_address(mut body: Reader<'_>) -> Result<Option<IpAddr>, Malformed> {
    const ID_IPV4_ADDR: u8 = 1;
    const ID_IPV6_ADDR: u8 = 5;
    let [kind, _, _, _] = body.array()?;
    let address = match kind {
        ID_IPV4_ADDR => Some(IpAddr::from(body.array::<4>()?)),
        ID_IPV6_ADDR => Some(IpAddr::from(body.array::<16>()?)),
        _ => return Ok(None),
    };
    body.end()?;
    Ok(address)
}
