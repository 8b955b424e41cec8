//! Tunnels to strongSwan, whose charon handles IKE and ESP itself (kernel-libipsec) in a namespace of its own.
//!
//! ```text
//! namespace a                                   namespace b
//! adit, tunnel t on tun-t                       charon, connection s2s with child net on ipsec0
//! a.example, 10.77.1.1 of 10.77.1.0/24          b.example, 10.77.2.1 of 10.77.2.0/24
//! wire 192.0.2.1, 2001:db8::1 ───────────────── wire 192.0.2.2, 2001:db8::2
//! ```
//!
//! charon always sends ESP in UDP and in tunnel mode here: it pretends to see a NAT. Needs root, /dev/net/tun, and what ci.sh
//! installs.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails and says why"
)]

#[path = "../common/mod.rs"]
mod common;

mod adit_end;
mod certificates;
mod charon;
mod conf;
mod cookies;
mod dead;
mod failover;
mod flood;
mod fragmentation;
mod gre;
mod link;
mod narrowing;
mod nat;
mod pair;
mod pki;
mod refused;
mod rekey;
mod restart;
mod routed;
mod site_to_site;
mod suites;
mod two_charons;
mod version1;
mod vici;

use std::time::Duration;

/// How long set-up may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
