//! IKEv2 between two daemons in network namespaces of the running kernel: tunnels come up, are rekeyed, cleared, lost and found again.
//!
//! Needs root, /dev/net/tun, nft and conntrack.
#![expect(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod establish;
mod failover;
mod limits;
#[path = "../soak/load.rs"]
mod load;
mod nat;
mod operator;
mod peer;
mod rekey;
mod renewal;
#[path = "../strongswan/routed.rs"]
mod routed;
mod site;
mod version1;

use std::time::Duration;

use common::within;

/// How long set-up may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
