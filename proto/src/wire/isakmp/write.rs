//! Writing of payloads and of messages that are not encrypted.

use std::net::IpAddr;

use super::attribute::{ATTRIBUTES_MAX, Attribute};
use super::header::{HEADER_OCTETS, Header};
use super::payload::{ConfigKind, GENERIC_OCTETS, Id, Notify, kind};
use super::sa::{DOI_IPSEC, Protocol, SaPayload};

/// Octets of the longest body of a payload.
const BODY_OCTETS_MAX: usize = u16::MAX as usize - GENERIC_OCTETS;
/// Room that keeps a usual message, and a password in it, in one place of memory.
const USUAL_OCTETS: usize = 2048;

/// A chain of payloads that grows at its end.
///
/// A body of more than 65,531 octets, which no payload can hold, is cut off there. It has no Debug: a chain may hold a password.
pub struct Writer {
    octets: Vec<u8>,
    first: u8,
    /// Where the last payload says what follows it.
    next_at: Option<usize>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// An empty chain.
    #[must_use]
    pub fn new() -> Self {
        Self {
            octets: Vec::with_capacity(USUAL_OCTETS),
            first: kind::NONE,
            next_at: None,
        }
    }

    /// Appends a payload of that type with that body.
    pub fn raw(&mut self, kind: u8, body: &[u8]) -> &mut Self {
        self.behind(kind, &[], body)
    }

    /// SA; what is beyond the bounds of an [`SaPayload`] is left out.
    pub fn sa(&mut self, sa: &SaPayload<'_>) -> &mut Self {
        self.raw(kind::SA, &sa.body())
    }

    /// KE: a public key.
    pub fn ke(&mut self, public: &[u8]) -> &mut Self {
        self.raw(kind::KE, public)
    }

    /// ID.
    pub fn id(&mut self, id: &Id<'_>) -> &mut Self {
        self.behind(kind::ID, &id.fixed(), id.data)
    }

    /// CERT.
    pub fn cert(&mut self, encoding: u8, data: &[u8]) -> &mut Self {
        self.behind(kind::CERT, &[encoding], data)
    }

    /// CR.
    pub fn cert_request(&mut self, encoding: u8, authority: &[u8]) -> &mut Self {
        self.behind(kind::CR, &[encoding], authority)
    }

    /// HASH.
    pub fn hash(&mut self, hash: &[u8]) -> &mut Self {
        self.raw(kind::HASH, hash)
    }

    /// NONCE.
    pub fn nonce(&mut self, nonce: &[u8]) -> &mut Self {
        self.raw(kind::NONCE, nonce)
    }

    /// N; an SPI of more than 255 octets is cut off there.
    pub fn notify(&mut self, notify: &Notify<'_>) -> &mut Self {
        let spi = notify.spi.get(..usize::from(u8::MAX)).unwrap_or(notify.spi);
        let spi_octets = u8::try_from(spi.len()).unwrap_or(u8::MAX);
        let fixed = [
            &notify.doi.to_be_bytes()[..],
            &[notify.protocol.into(), spi_octets],
            &notify.kind.to_be_bytes(),
            spi,
        ]
        .concat();
        self.behind(kind::NOTIFY, &fixed, notify.data)
    }

    /// D of the ISAKMP SA of these cookies.
    pub fn delete_isakmp(&mut self, cookies: &[u8; 16]) -> &mut Self {
        self.delete(Protocol::Isakmp, 16, 1, cookies)
    }

    /// D of ESP SAs, by the SPIs with which this end receives.
    pub fn delete_esp(&mut self, spis: &[u32]) -> &mut Self {
        let spis = spis.get(..BODY_OCTETS_MAX / 4 - 2).unwrap_or(spis);
        let count = u16::try_from(spis.len()).unwrap_or(u16::MAX);
        let octets: Vec<u8> = spis.iter().flat_map(|spi| spi.to_be_bytes()).collect();
        self.delete(Protocol::Esp, 4, count, &octets)
    }

    /// VID.
    pub fn vendor_id(&mut self, id: &[u8]) -> &mut Self {
        self.raw(kind::VENDOR_ID, id)
    }

    /// ATTR: XAUTH and Mode Config; attributes behind the 256th are left out.
    pub fn attributes(
        &mut self,
        config: ConfigKind,
        identifier: u16,
        attributes: &[Attribute<'_>],
    ) -> &mut Self {
        let [high, low] = identifier.to_be_bytes();
        let start = self.start(kind::ATTRIBUTES);
        self.octets.extend([config.into(), 0, high, low]);
        for attribute in attributes.iter().take(ATTRIBUTES_MAX) {
            attribute.write(&mut self.octets);
        }
        self.end(start)
    }

    /// NAT-D, with the number of RFC 3947.
    pub fn nat_d(&mut self, hash: &[u8]) -> &mut Self {
        self.raw(kind::NAT_D, hash)
    }

    /// NAT-OA, with the number of RFC 3947.
    pub fn nat_oa(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.behind(kind::NAT_OA, &[1, 0, 0, 0], &address.octets()),
            IpAddr::V6(address) => self.behind(kind::NAT_OA, &[5, 0, 0, 0], &address.octets()),
        }
    }

    /// The type of the first payload (0: none) and the chain; what remains is empty.
    pub fn finish(&mut self) -> (u8, Vec<u8>) {
        let Self { octets, first, .. } = std::mem::take(self);
        (first, octets)
    }

    fn delete(&mut self, protocol: Protocol, octets: u8, count: u16, spis: &[u8]) -> &mut Self {
        let fixed = [
            &DOI_IPSEC.to_be_bytes()[..],
            &[protocol.into(), octets],
            &count.to_be_bytes(),
        ]
        .concat();
        self.behind(kind::DELETE, &fixed, spis)
    }

    fn behind(&mut self, kind: u8, fixed: &[u8], data: &[u8]) -> &mut Self {
        let start = self.start(kind);
        self.octets.extend_from_slice(fixed);
        self.octets.extend_from_slice(data);
        self.end(start)
    }

    /// Opens a payload and says where it begins.
    fn start(&mut self, kind: u8) -> usize {
        match self.next_at.and_then(|at| self.octets.get_mut(at)) {
            Some(next) => *next = kind,
            None => self.first = kind,
        }
        let start = self.octets.len();
        self.next_at = Some(start);
        self.octets.extend([kind::NONE, 0, 0, 0]);
        start
    }

    /// Closes the payload that begins at `start`.
    fn end(&mut self, start: usize) -> &mut Self {
        self.octets
            .truncate(start + GENERIC_OCTETS + BODY_OCTETS_MAX);
        let length = u16::try_from(self.octets.len() - start).unwrap_or(u16::MAX);
        if let Some(at) = self.octets.get_mut(start + 2..start + GENERIC_OCTETS) {
            at.copy_from_slice(&length.to_be_bytes());
        }
        self
    }
}

impl Id<'_> {
    const fn fixed(&self) -> [u8; 4] {
        let [high, low] = self.port.to_be_bytes();
        [self.kind, self.protocol, high, low]
    }

    /// The payload's body, IDii_b or IDir_b of the hashes (RFC 2409 section 5): `type 1 | protocol 1 | port 2 | data`.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        [&self.fixed(), self.data].concat()
    }
}

/// A HASH with a chain behind it whose first payload is of type `first`: the chain of a message whose first payload is a HASH.
#[must_use]
pub fn behind_hash(hash: &[u8], first: u8, chain: &[u8]) -> Vec<u8> {
    let hash = hash.get(..BODY_OCTETS_MAX).unwrap_or(hash);
    let length = u16::try_from(hash.len() + GENERIC_OCTETS).unwrap_or(u16::MAX);
    let mut all = Vec::with_capacity(GENERIC_OCTETS + hash.len() + chain.len() + USUAL_OCTETS);
    all.extend([first, 0]);
    all.extend(length.to_be_bytes());
    all.extend_from_slice(hash);
    all.extend_from_slice(chain);
    all
}

/// A message: the header, whose first payload and length are filled in, and what follows it, in the clear or encrypted.
#[must_use]
pub fn write_message(header: &Header, first: u8, body: &[u8]) -> Vec<u8> {
    let octets = HEADER_OCTETS + body.len();
    let header = Header {
        next_payload: first,
        length: u32::try_from(octets).unwrap_or(u32::MAX),
        ..*header
    };
    let mut message = Vec::with_capacity(octets);
    message.extend(header.octets());
    message.extend_from_slice(body);
    message
}
