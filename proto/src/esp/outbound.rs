//! The outbound security association: numbers, pads and seals packets where they lie (RFC 4303 section 3.3).

use std::ops::RangeInclusive;
use std::time::Instant;

use adit_crypto::{Aead, Associated, Suite};

use super::{Lifetime, packet_octets, prefix_octets};
use crate::counters::DropReason;
use crate::wire::esp::{HEADER_OCTETS, Spi, TRAILER_OCTETS};

/// What seals our packets to one peer.
#[derive(Debug)]
pub struct OutboundSa {
    spi: Spi,
    aead: Aead,
    esn: bool,
    /// The number of the next packet.
    next: u64,
    /// The last number that may be used.
    last: u64,
    lifetime: Lifetime,
}

impl OutboundSa {
    /// An association that may use these sequence numbers: the first is at least 1, and without extended sequence numbers none is above
    /// 2³² − 1 (RFC 4303 section 3.3.3).
    #[must_use]
    pub fn new(
        spi: Spi,
        aead: Aead,
        esn: bool,
        seq: RangeInclusive<u64>,
        lifetime: Lifetime,
    ) -> Self {
        let mut sa = Self {
            spi,
            aead,
            esn,
            next: (*seq.start()).max(1),
            last: 0,
            lifetime,
        };
        sa.extend(*seq.end());
        sa
    }

    /// The index that its packets carry.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.spi
    }

    /// What it seals with.
    #[inline]
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.aead.suite()
    }

    /// Numbers up to `last` may be used from now on; a lower bound than the one before, which came late, changes nothing.
    pub fn extend(&mut self, last: u64) {
        let most = if self.esn {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        self.last = self.last.max(last.min(most));
    }

    /// How many numbers are left, and the number of the next packet.
    #[must_use]
    pub fn numbers_left(&self) -> (u64, u64) {
        (self.last.saturating_sub(self.next - 1), self.next)
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

    /// Whether it may seal no further packet by this time.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.lifetime.is_over(now)
    }

    /// Seals a packet in place. `packet` has [`packet_octets`] for `payload_octets`, of which the payload, TFC padding included, stands
    /// behind [`prefix_octets`]; everything else is written here.
    ///
    /// # Errors
    /// [`DropReason::SequenceExhausted`], [`DropReason::SaExpired`], [`DropReason::TooBig`] (`packet` is not as large as it should be).
    #[inline]
    pub fn seal(
        &mut self,
        packet: &mut [u8],
        payload_octets: usize,
        next_header: u8,
    ) -> Result<(), DropReason> {
        let suite = self.aead.suite();
        if packet.len() != packet_octets(suite, payload_octets) {
            return Err(DropReason::TooBig);
        }
        if self.next > self.last {
            return Err(DropReason::SequenceExhausted);
        }
        if !self.lifetime.take(payload_octets) {
            return Err(DropReason::SaExpired);
        }
        let seq = self.next;
        self.next += 1;
        let icv_at = packet.len() - suite.icv_octets();
        if let Some(trailer) = packet.get_mut(prefix_octets(suite) + payload_octets..icv_at) {
            write_trailer(trailer, next_header);
        }
        let Some((header, sealed)) = packet.split_first_chunk_mut::<HEADER_OCTETS>() else {
            return Err(DropReason::TooBig);
        };
        let [s0, s1, s2, s3] = self.spi.get().to_be_bytes();
        let [.., n0, n1, n2, n3] = seq.to_be_bytes();
        *header = [s0, s1, s2, s3, n0, n1, n2, n3];
        let associated = Associated {
            spi: self.spi.get(),
            seq,
            esn: self.esn,
        };
        self.aead
            .seal(&associated, sealed)
            .map_err(|_| DropReason::TooBig)
    }
}

/// Padding `1, 2, 3, …`, its length, the next header (RFC 4303 section 2.4).
#[inline]
fn write_trailer(trailer: &mut [u8], next_header: u8) {
    // Less than the alignment, so below 256.
    let pad = u8::try_from(trailer.len() - TRAILER_OCTETS).unwrap_or(0);
    for (octet, value) in trailer.iter_mut().zip(1..=pad) {
        *octet = value;
    }
    if let Some(last) = trailer.last_chunk_mut() {
        *last = [pad, next_header];
    }
}
