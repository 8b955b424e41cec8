//! The chain of payloads (RFC 7296 section 3.2): each `next payload 1 | critical bit and reserved 1 | length 2 | body`.

use super::sa::{Protocol, SaPayload};
use super::ts::{self, TrafficSelector};
use crate::wire::malformed::{Malformed, Reader, Why};

/// The most payloads in a chain.
pub const PAYLOADS_MAX: usize = 64;
/// Octets before a payload's body.
pub const GENERIC_OCTETS: usize = 4;
/// Octets of a nonce, at least (RFC 7296 section 3.9).
pub const NONCE_OCTETS_MIN: usize = 16;
/// Octets of a nonce, at most.
pub const NONCE_OCTETS_MAX: usize = 256;

const CRITICAL: u8 = 0x80;

/// The numbers of payload types (RFC 7296 section 3.2, RFC 7383 section 2.5).
pub mod kind {
    /// No further payload.
    pub const NONE: u8 = 0;
    /// Security association.
    pub const SA: u8 = 33;
    /// Key exchange.
    pub const KE: u8 = 34;
    /// Identification of the initiator.
    pub const ID_I: u8 = 35;
    /// Identification of the responder.
    pub const ID_R: u8 = 36;
    /// Certificate.
    pub const CERT: u8 = 37;
    /// Certificate request.
    pub const CERTREQ: u8 = 38;
    /// Authentication.
    pub const AUTH: u8 = 39;
    /// Nonce.
    pub const NONCE: u8 = 40;
    /// Notify.
    pub const NOTIFY: u8 = 41;
    /// Delete.
    pub const DELETE: u8 = 42;
    /// Vendor ID.
    pub const VENDOR_ID: u8 = 43;
    /// Traffic selectors of the initiator.
    pub const TS_I: u8 = 44;
    /// Traffic selectors of the responder.
    pub const TS_R: u8 = 45;
    /// Encrypted and authenticated.
    pub const SK: u8 = 46;
    /// Configuration.
    pub const CONFIGURATION: u8 = 47;
    /// Extensible authentication.
    pub const EAP: u8 = 48;
    /// Encrypted and authenticated fragment.
    pub const SKF: u8 = 53;
}

/// An identity as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id<'a> {
    /// The ID type (RFC 7296 section 3.5).
    pub kind: u8,
    /// The identification data.
    pub data: &'a [u8],
}

/// A notify payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify<'a> {
    /// The protocol of the SPI, 0 without one.
    pub protocol: u8,
    /// The SPI, empty without one.
    pub spi: &'a [u8],
    /// The notify message type: a constant of [`notify`](super::notify).
    pub kind: u16,
    /// The notification data.
    pub data: &'a [u8],
}

/// A delete payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// What is deleted: IKE, AH or ESP.
    pub protocol: Protocol,
    /// The SPIs by which the sender receives; none with IKE, whose SA is that of the message.
    pub spis: Vec<u32>,
}

/// A payload; the octets are those of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// SA: proposals.
    Sa(SaPayload),
    /// KE: a public key of a Diffie-Hellman group.
    Ke {
        /// The group's number, which need not be one that is known.
        group: u16,
        /// The public key, of any length.
        data: &'a [u8],
    },
    /// IDi.
    IdI(Id<'a>),
    /// IDr.
    IdR(Id<'a>),
    /// CERT.
    Cert {
        /// The certificate encoding (4: X.509, signature).
        encoding: u8,
        /// The certificate.
        data: &'a [u8],
    },
    /// CERTREQ.
    CertReq {
        /// The certificate encoding.
        encoding: u8,
        /// Digests of the trust anchors' keys, 20 octets each.
        authorities: &'a [u8],
    },
    /// AUTH.
    Auth {
        /// The auth method (2: shared key, 14: digital signature).
        method: u8,
        /// The authentication data.
        data: &'a [u8],
    },
    /// Ni or Nr: [`NONCE_OCTETS_MIN`] to [`NONCE_OCTETS_MAX`] octets.
    Nonce(&'a [u8]),
    /// N.
    Notify(Notify<'a>),
    /// D.
    Delete(Delete),
    /// V.
    VendorId(&'a [u8]),
    /// TSi.
    TsI(Vec<TrafficSelector>),
    /// TSr.
    TsR(Vec<TrafficSelector>),
    /// SK; always the last one.
    Sk {
        /// Octets from the start of the chain to the body.
        offset: usize,
        /// The type of the first payload inside.
        next_payload: u8,
        /// `IV | ciphertext | ICV`.
        body: &'a [u8],
    },
    /// SKF; always the last one (RFC 7383 section 2.5).
    Skf {
        /// Octets from the start of the chain to the body.
        offset: usize,
        /// The type of the first payload inside; 0 in all but the first fragment.
        next_payload: u8,
        /// The fragment's number, from 1 to `total`.
        number: u16,
        /// How many fragments there are.
        total: u16,
        /// `IV | ciphertext | ICV`.
        body: &'a [u8],
    },
    /// CP: the whole body.
    Configuration(&'a [u8]),
    /// EAP: the whole body.
    Eap(&'a [u8]),
    /// A type that is not known here.
    Unknown {
        /// Its number.
        kind: u8,
        /// Whether the sender wants the message refused then (RFC 7296 section 2.5).
        critical: bool,
        /// The body.
        body: &'a [u8],
    },
}

/// Reads a chain whose first payload is of type `first`: what follows the header of a message.
///
/// # Errors
/// A payload that is shorter than its fields or longer than what is left, more than [`PAYLOADS_MAX`] of them, octets behind the last
/// one, or a field outside its bounds.
pub fn payloads(first: u8, octets: &[u8]) -> Result<Vec<Payload<'_>>, Malformed> {
    chain(first, octets, true)
}

/// As [`payloads`], of what was sealed in a message: nothing in it is sealed again.
///
/// # Errors
/// Those of [`payloads`], and SK or SKF.
pub fn opened_payloads(first: u8, octets: &[u8]) -> Result<Vec<Payload<'_>>, Malformed> {
    chain(first, octets, false)
}

fn chain(first: u8, octets: &[u8], may_be_sealed: bool) -> Result<Vec<Payload<'_>>, Malformed> {
    let mut reader = Reader::new("payloads", octets);
    let mut payloads = Vec::new();
    let mut next = first;
    while next != kind::NONE {
        if payloads.len() == PAYLOADS_MAX {
            return Err(reader.error(Why::TooMany(PAYLOADS_MAX)));
        }
        let this = next;
        let is_sealed = matches!(this, kind::SK | kind::SKF);
        if is_sealed && !may_be_sealed {
            return Err(reader.error(Why::SealedTwice));
        }
        let mut generic = reader.peek("payload");
        let [following, critical] = generic.array()?;
        let at_length = generic;
        let length = usize::from(generic.u16()?);
        at_length.bounded("length", length, GENERIC_OCTETS, reader.left())?;
        reader.take(GENERIC_OCTETS)?;
        let body = reader.sub(place(this), length - GENERIC_OCTETS)?;
        payloads.push(payload(this, following, critical & CRITICAL != 0, body)?);
        next = if is_sealed { kind::NONE } else { following };
    }
    reader.end()?;
    Ok(payloads)
}

/// The type of the first payload that is not known although its sender insists on it: to be answered with
/// `UNSUPPORTED_CRITICAL_PAYLOAD` (RFC 7296 section 2.5).
#[must_use]
pub fn unsupported_critical(payloads: &[Payload<'_>]) -> Option<u8> {
    payloads.iter().find_map(|payload| {
        if let Payload::Unknown { kind, critical, .. } = *payload
            && critical
        {
            Some(kind)
        } else {
            None
        }
    })
}

fn payload<'a>(
    this: u8,
    next_payload: u8,
    critical: bool,
    mut body: Reader<'a>,
) -> Result<Payload<'a>, Malformed> {
    Ok(match this {
        kind::SA => Payload::Sa(SaPayload::parse(body)?),
        kind::KE => {
            let (group, _reserved) = (body.u16()?, body.u16()?);
            let data = body.rest();
            Payload::Ke { group, data }
        }
        kind::ID_I => Payload::IdI(id(body)?),
        kind::ID_R => Payload::IdR(id(body)?),
        kind::CERT => Payload::Cert {
            encoding: body.u8()?,
            data: body.rest(),
        },
        kind::CERTREQ => Payload::CertReq {
            encoding: body.u8()?,
            authorities: body.rest(),
        },
        kind::AUTH => {
            let [method, _, _, _] = body.array()?;
            let data = body.rest();
            Payload::Auth { method, data }
        }
        kind::NONCE => {
            body.bounded("length", body.left(), NONCE_OCTETS_MIN, NONCE_OCTETS_MAX)?;
            Payload::Nonce(body.rest())
        }
        kind::NOTIFY => Payload::Notify(notify(body)?),
        kind::DELETE => Payload::Delete(delete(body)?),
        kind::VENDOR_ID => Payload::VendorId(body.rest()),
        kind::TS_I => Payload::TsI(ts::parse(body)?),
        kind::TS_R => Payload::TsR(ts::parse(body)?),
        kind::SK => Payload::Sk {
            offset: body.offset(),
            next_payload,
            body: body.rest(),
        },
        kind::SKF => fragment(next_payload, body)?,
        kind::CONFIGURATION => Payload::Configuration(body.rest()),
        kind::EAP => Payload::Eap(body.rest()),
        other => Payload::Unknown {
            kind: other,
            critical,
            body: body.rest(),
        },
    })
}

const fn place(this: u8) -> &'static str {
    match this {
        kind::SA => "security association",
        kind::KE => "key exchange",
        kind::ID_I | kind::ID_R => "identification",
        kind::CERT => "certificate",
        kind::CERTREQ => "certificate request",
        kind::AUTH => "authentication",
        kind::NONCE => "nonce",
        kind::NOTIFY => "notify",
        kind::DELETE => "delete",
        kind::TS_I | kind::TS_R => "traffic selectors",
        kind::SKF => "encrypted fragment",
        _ => "payload",
    }
}

fn id<'a>(mut body: Reader<'a>) -> Result<Id<'a>, Malformed> {
    let [kind, _, _, _] = body.array()?;
    let data = body.rest();
    Ok(Id { kind, data })
}

fn notify<'a>(mut body: Reader<'a>) -> Result<Notify<'a>, Malformed> {
    let [protocol, spi_octets] = body.array()?;
    let kind = body.u16()?;
    Ok(Notify {
        protocol,
        spi: body.take(usize::from(spi_octets))?,
        kind,
        data: body.rest(),
    })
}

fn delete(mut body: Reader<'_>) -> Result<Delete, Malformed> {
    let at = body;
    let [protocol, spi_octets] = body.array()?;
    let count = usize::from(body.u16()?);
    at.bounded("protocol", usize::from(protocol), 1, 3)?;
    let protocol = Protocol::from(protocol);
    // The SA of the message has no SPI here (RFC 7296 section 3.11).
    let (octets, most) = match protocol {
        Protocol::Ike => (0, 0),
        Protocol::Ah | Protocol::Esp | Protocol::Other(_) => (4, usize::from(u16::MAX)),
    };
    at.bounded("SPI size", usize::from(spi_octets), octets, octets)?;
    at.bounded("SPIs", count, 0, most)?;
    let mut spis = body.sub("delete", count * octets)?;
    body.end()?;
    let spis = (0..count).map(|_| spis.u32()).collect::<Result<_, _>>()?;
    Ok(Delete { protocol, spis })
}

fn fragment<'a>(next_payload: u8, mut body: Reader<'a>) -> Result<Payload<'a>, Malformed> {
    let at = body;
    let (number, total) = (body.u16()?, body.u16()?);
    at.bounded(
        "fragment number",
        usize::from(number),
        1,
        usize::from(total).max(1),
    )?;
    at.bounded(
        "total fragments",
        usize::from(total),
        1,
        usize::from(u16::MAX),
    )?;
    Ok(Payload::Skf {
        offset: body.offset(),
        next_payload,
        number,
        total,
        body: body.rest(),
    })
}
