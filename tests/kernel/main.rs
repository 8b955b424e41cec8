//! Tunnels to the GRE and the ESP of a Linux kernel: a guest that netns-scripts/kernel-gre-peer.sh boots, one for each test that runs beside others.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails and says why"
)]

#[path = "../common/mod.rs"]
mod common;

mod agreement;
mod esp;
mod guest;
mod inside;
mod keepalive;
mod ledger;
mod marks;
mod path_mtu;
mod peer;
mod traffic;
