//! Writing of payloads and of messages that are not sealed.

use super::header::{HEADER_OCTETS, Header};
use super::payload::{GENERIC_OCTETS, kind};
use super::sa::{Protocol, SaPayload};
use super::ts::{self, TrafficSelector};

/// Octets of the longest body of a payload.
const BODY_OCTETS_MAX: usize = u16::MAX as usize - GENERIC_OCTETS;
const ESP_SPI_OCTETS: u8 = 4;

/// A chain of payloads that grows at its end.
///
/// A body of more than 65,531 octets, which no payload can hold, is cut off there.
#[derive(Debug, Default)]
pub struct Writer {
    octets: Vec<u8>,
    first: u8,
    /// Where the last payload says what follows it.
    next_at: Option<usize>,
}

impl Writer {
    /// An empty chain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a payload of that type with that body, not critical.
    pub fn raw(&mut self, kind: u8, body: &[u8]) -> &mut Self {
        match self.next_at.and_then(|at| self.octets.get_mut(at)) {
            Some(next) => *next = kind,
            None => self.first = kind,
        }
        self.next_at = Some(self.octets.len());
        let body = body.get(..BODY_OCTETS_MAX).unwrap_or(body);
        let length = u16::try_from(body.len() + GENERIC_OCTETS).unwrap_or(u16::MAX);
        self.octets.extend([kind::NONE, 0]);
        self.octets.extend(length.to_be_bytes());
        self.octets.extend_from_slice(body);
        self
    }

    /// SA; what is beyond the bounds of an [`SaPayload`] is left out, and so are attributes other than the key length.
    pub fn sa(&mut self, sa: &SaPayload) -> &mut Self {
        self.raw(kind::SA, &sa.body())
    }

    /// KE: a public key of that Diffie-Hellman group.
    pub fn ke(&mut self, group: u16, public: &[u8]) -> &mut Self {
        let [high, low] = group.to_be_bytes();
        self.behind(kind::KE, &[high, low, 0, 0], public)
    }

    /// IDi.
    pub fn id_i(&mut self, id_kind: u8, data: &[u8]) -> &mut Self {
        self.behind(kind::ID_I, &[id_kind, 0, 0, 0], data)
    }

    /// IDr.
    pub fn id_r(&mut self, id_kind: u8, data: &[u8]) -> &mut Self {
        self.behind(kind::ID_R, &[id_kind, 0, 0, 0], data)
    }

    /// CERT.
    pub fn cert(&mut self, encoding: u8, data: &[u8]) -> &mut Self {
        self.behind(kind::CERT, &[encoding], data)
    }

    /// CERTREQ.
    pub fn cert_req(&mut self, encoding: u8, authorities: &[u8]) -> &mut Self {
        self.behind(kind::CERTREQ, &[encoding], authorities)
    }

    /// AUTH.
    pub fn auth(&mut self, method: u8, data: &[u8]) -> &mut Self {
        self.behind(kind::AUTH, &[method, 0, 0, 0], data)
    }

    /// Ni or Nr.
    pub fn nonce(&mut self, nonce: &[u8]) -> &mut Self {
        self.raw(kind::NONCE, nonce)
    }

    /// N; an SPI of more than 255 octets is cut off there.
    pub fn notify(&mut self, protocol: u8, spi: &[u8], notify: u16, data: &[u8]) -> &mut Self {
        let spi = spi.get(..usize::from(u8::MAX)).unwrap_or(spi);
        let spi_octets = u8::try_from(spi.len()).unwrap_or(u8::MAX);
        let [high, low] = notify.to_be_bytes();
        let fixed = [&[protocol, spi_octets, high, low], spi].concat();
        self.behind(kind::NOTIFY, &fixed, data)
    }

    /// D of the IKE SA that the message is of.
    pub fn delete_ike(&mut self) -> &mut Self {
        self.raw(kind::DELETE, &[Protocol::Ike.into(), 0, 0, 0])
    }

    /// D of ESP SAs, by the SPIs with which this end receives.
    pub fn delete_esp(&mut self, spis: &[u32]) -> &mut Self {
        let most = usize::from(u16::MAX).min(BODY_OCTETS_MAX / usize::from(ESP_SPI_OCTETS) - 1);
        let spis = spis.get(..most).unwrap_or(spis);
        let [high, low] = u16::try_from(spis.len()).unwrap_or(u16::MAX).to_be_bytes();
        let octets: Vec<u8> = spis.iter().flat_map(|spi| spi.to_be_bytes()).collect();
        let fixed = [Protocol::Esp.into(), ESP_SPI_OCTETS, high, low];
        self.behind(kind::DELETE, &fixed, &octets)
    }

    /// TSi; a selector of two families is left out, and what is behind the 255th.
    pub fn ts_i(&mut self, selectors: &[TrafficSelector]) -> &mut Self {
        self.raw(kind::TS_I, &ts::body(selectors))
    }

    /// TSr, as [`Self::ts_i`].
    pub fn ts_r(&mut self, selectors: &[TrafficSelector]) -> &mut Self {
        self.raw(kind::TS_R, &ts::body(selectors))
    }

    /// V.
    pub fn vendor_id(&mut self, id: &[u8]) -> &mut Self {
        self.raw(kind::VENDOR_ID, id)
    }

    /// The type of the first payload (0: none) and the chain; what remains is empty.
    pub fn finish(&mut self) -> (u8, Vec<u8>) {
        let Self { octets, first, .. } = std::mem::take(self);
        (first, octets)
    }

    fn behind(&mut self, kind: u8, fixed: &[u8], data: &[u8]) -> &mut Self {
        self.raw(kind, &[fixed, data].concat())
    }
}

/// A message in the clear: the header, whose first payload and length are filled in, and the chain.
#[must_use]
pub fn write_message(header: &Header, first: u8, chain: &[u8]) -> Vec<u8> {
    let octets = HEADER_OCTETS + chain.len();
    let header = Header {
        next_payload: first,
        length: u32::try_from(octets).unwrap_or(u32::MAX),
        ..*header
    };
    let mut message = Vec::with_capacity(octets);
    message.extend(header.octets());
    message.extend_from_slice(chain);
    message
}
