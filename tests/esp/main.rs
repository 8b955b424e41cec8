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

use std::time::Duration;

use common::Delivery;

/// How long set-up may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
