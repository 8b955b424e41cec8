//! The inbound security association: window, ICV, window, trailer (RFC 4303 section 3.4).

use std::ops::Range;
use std::time::Instant;

use adit_crypto::{Aead, Associated};

use super::replay::Window;
use super::{Lifetime, prefix_octets};
use crate::counters::DropReason;
use crate::wire::esp::{self, HEADER_OCTETS, Spi, TRAILER_OCTETS};

/// What opens a peer's packets to us.
#[derive(Debug)]
pub struct InboundSa {
    spi: Spi,
    aead: Aead,
    esn: bool,
    window: Window,
    lifetime: Lifetime,
}

/// An authenticated packet that had not come before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where in the ESP packet its payload lies, TFC padding included.
    pub payload: Range<usize>,
    /// What the payload is.
    pub next_header: u8,
    /// Whether no later packet has come: only such a one tells where the peer is now.
    pub is_newest: bool,
}

impl InboundSa {
    /// An association with that window.
    #[must_use]
    pub fn new(spi: Spi, aead: Aead, esn: bool, window: Window, lifetime: Lifetime) -> Self {
        Self {
            spi,
            aead,
            esn,
            window,
            lifetime,
        }
    }

    /// The index that its packets carry.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.spi
    }

    /// The greatest sequence number accepted.
    #[must_use]
    pub fn edge(&self) -> u64 {
        self.window.edge()
    }

    /// What it has carried.
    #[must_use]
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// The same, to tell a soft bound.
    pub fn lifetime_mut(&mut self) -> &mut Lifetime {
        &mut self.lifetime
    }

    /// Whether it opens no further packet by this time.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.lifetime.is_over(now)
    }

    /// Opens a packet from its ESP header to its ICV in place. Its SPI picked this association.
    ///
    /// # Errors
    /// Before authentication, with nothing changed but the octets: [`DropReason::EspShort`], [`DropReason::UnknownSpi`], [`DropReason::Replayed`],
    /// [`DropReason::BadIcv`]. After it, with the number taken: [`DropReason::SaExpired`], [`DropReason::EspTrailer`].
    #[inline]
    pub fn open(&mut self, packet: &mut [u8]) -> Result<Opened, DropReason> {
        let suite = self.aead.suite();
        if packet.len() < prefix_octets(suite) + TRAILER_OCTETS + suite.icv_octets() {
            return Err(DropReason::EspShort);
        }
        let header = esp::parse(packet)?;
        if header.spi != self.spi {
            return Err(DropReason::UnknownSpi);
        }
        let seq = self.seq(header.seq_lo).ok_or(DropReason::Replayed)?;
        if !self.window.admits(seq) {
            return Err(DropReason::Replayed);
        }
        let sealed = packet.get_mut(HEADER_OCTETS..).unwrap_or_default();
        let associated = Associated {
            spi: self.spi.get(),
            seq,
            esn: self.esn,
        };
        let opened = self.aead.open(&associated, sealed);
        let plaintext = opened.map_err(|_| DropReason::BadIcv)?;
        let is_newest = self.window.accept(seq);
        let trailer = read_trailer(plaintext);
        // The sender counts its payloads, too.
        let counted = trailer.map_or(plaintext.len(), |(payload_octets, _)| payload_octets);
        if !self.lifetime.take(counted) {
            return Err(DropReason::SaExpired);
        }
        let (payload_octets, next_header) = trailer.ok_or(DropReason::EspTrailer)?;
        let start = prefix_octets(suite);
        Ok(Opened {
            payload: start..start + payload_octets,
            next_header,
            is_newest,
        })
    }

    #[inline]
    fn seq(&self, seq_lo: u32) -> Option<u64> {
        if self.esn {
            self.window.infer(seq_lo)
        } else {
            Some(u64::from(seq_lo))
        }
    }
}

/// The payload's length and the next header; none if the padding is longer than the packet or not `1, 2, 3, …` (RFC 4303 section 2.4).
#[inline]
fn read_trailer(plaintext: &[u8]) -> Option<(usize, u8)> {
    let (before, &[pad, next_header]) = plaintext.split_last_chunk()?;
    let (payload, padding) =
        before.split_at_checked(before.len().checked_sub(usize::from(pad))?)?;
    let is_right = padding
        .iter()
        .zip(1..=u8::MAX)
        .all(|(octet, value)| *octet == value);
    is_right.then_some((payload.len(), next_header))
}
