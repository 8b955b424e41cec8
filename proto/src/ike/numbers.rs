//! What an endpoint draws at random.

use std::collections::BTreeSet;
use std::time::Duration;

use super::endpoint::Random;
use crate::wire::esp::Spi;

/// Random numbers, and which of the SPIs among them are taken.
pub(crate) struct Numbers {
    random: Box<dyn Random + Send>,
    /// Inbound SPIs of child SAs in use or asked for.
    pub(crate) spis: BTreeSet<Spi>,
}

impl Numbers {
    pub(crate) fn new(random: Box<dyn Random + Send>) -> Self {
        Self {
            random,
            spis: BTreeSet::new(),
        }
    }

    pub(crate) fn octets<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        self.random.fill(&mut octets);
        octets
    }

    /// An SPI for an IKE SA, or a cookie for an ISAKMP SA: of 64 random bits, so that no two of ours are the same.
    pub(crate) fn ike_spi(&mut self) -> u64 {
        u64::from_be_bytes(self.octets()).max(1)
    }

    /// A nonce of 8 to 256 octets (RFC 2409 section 5), as long as half the key of every PRF asks for (RFC 7296 section 2.10).
    pub(crate) fn nonce(&mut self) -> Vec<u8> {
        self.octets::<32>().to_vec()
    }

    /// A random part of `most`: jitter, or a wait that lets two ends not collide again.
    pub(crate) fn part_of(&mut self, most: Duration) -> Duration {
        let part = u32::from_be_bytes(self.octets());
        most.mul_f64(f64::from(part) / f64::from(u32::MAX))
    }

    /// Draws an inbound SPI that no child SA has, and keeps it until [`Self::release`].
    pub(crate) fn child_spi(&mut self) -> Spi {
        loop {
            let value = u32::from_be_bytes(self.octets());
            if let Some(spi) = Spi::new(value)
                && self.spis.insert(spi)
            {
                return spi;
            }
        }
    }

    pub(crate) fn release(&mut self, spi: Spi) {
        self.spis.remove(&spi);
    }
}
