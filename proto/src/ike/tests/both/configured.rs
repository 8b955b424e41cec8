//! What the two ends are called and configured with, whatever the version.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_crypto::SecretBytes;

use crate::ike::{ConnectionId, Identity, Path, Random, RekeyTimes, Retransmit};
use crate::wire::ike::TrafficSelector;

pub(crate) const TUNNEL: ConnectionId = ConnectionId(7);
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const PSK: &[u8] = b"correct horse battery staple, twice";

pub(crate) const RETRANSMIT: Retransmit = Retransmit {
    first: Duration::from_secs(2),
    base_per_mille: 1800,
    tries: 5,
    most: Duration::from_secs(30),
};

/// A generator of test octets (SplitMix64).
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for Seeded {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let octets = self.next().to_le_bytes();
            chunk.copy_from_slice(&octets[..chunk.len()]);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's start may be any instant"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn address(side: usize, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, if side == A { 1 } else { 2 }], port))
}

pub(crate) fn path(from: usize, port: u16) -> Path {
    Path {
        local: address(from, port),
        remote: address(1 - from, port),
    }
}

pub(crate) fn selector(text: &str) -> TrafficSelector {
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    TrafficSelector {
        protocol: 0,
        start_port: 0,
        end_port: u16::MAX,
        start: start.parse().unwrap(),
        end: end.parse().unwrap(),
    }
}

/// The network behind a side.
pub(crate) fn lan(side: usize) -> TrafficSelector {
    selector(["10.1.0.0-10.1.255.255", "10.2.0.0-10.2.255.255"][side])
}

/// Packets of GRE from and to anywhere.
pub(crate) fn gre() -> TrafficSelector {
    TrafficSelector {
        protocol: 47,
        ..selector("0.0.0.0-255.255.255.255")
    }
}

pub(crate) fn identity(side: usize) -> Identity {
    Identity::Fqdn(["a.example", "b.example"][side].to_owned())
}

pub(crate) fn psk() -> Arc<SecretBytes> {
    Arc::new(SecretBytes::from_slice(PSK))
}

pub(crate) fn times(rekey: u64) -> RekeyTimes {
    RekeyTimes {
        rekey: Duration::from_secs(rekey),
        jitter: Duration::ZERO,
        hard: Duration::from_secs(rekey * 2),
    }
}
