//! ESP, and GRE in ESP and in UDP, between network namespaces of the running kernel: what arrives, what is refused, what leaves.
//!
//! Needs root, /dev/net/tun and nft.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../datapath/packet.rs"]
#[expect(dead_code, reason = "the tests of GRE use more of it")]
mod packet;
#[path = "../datapath/traffic.rs"]
#[expect(clippy::expect_used, reason = "a test that cannot go on fails")]
mod traffic;
#[path = "../datapath/wire.rs"]
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "of ErrorKind a test names what it wants"
)]
mod wire;

mod delivery;
mod idle;
mod limits;
mod mtu;
mod nat;
mod outer;
mod refused;
mod segmentation;
mod site;
mod trains;

use std::net::IpAddr;
use std::time::Duration;

/// How long set-up may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// The family of the outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    V4,
    V6,
}

impl Delivery {
    const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The address of that number on the wire between two sites.
    fn address(self, number: u8) -> IpAddr {
        let text = match self {
            Self::V4 => format!("192.0.2.{number}"),
            Self::V6 => format!("2001:db8::{number}"),
        };
        text.parse().unwrap()
    }

    /// Octets of the outer IP header.
    const fn octets(self) -> u16 {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}
