//! Tunnels to the GRE and the ESP of a Linux kernel: a guest that netns-scripts/kernel-gre-peer.sh boots, one for each test that runs beside others.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that cannot go on fails and says why"
)]

#[path = "../common/mod.rs"]
mod common;

#[path = "../strongswan/adit_end.rs"]
#[expect(dead_code, reason = "the tests against charon alone use more of it")]
mod adit_end;
#[path = "../strongswan/conf.rs"]
mod conf;
#[path = "../strongswan/flood.rs"]
#[expect(dead_code, reason = "the tests against charon alone use more of it")]
mod flood;
#[path = "../strongswan/link.rs"]
#[expect(dead_code, reason = "the tests against charon alone use more of it")]
mod link;
#[path = "../strongswan/vici.rs"]
mod vici;

mod agreement;
mod esp;
mod guest;
mod ike;
mod inside;
mod keepalive;
mod ledger;
mod marks;
mod path_mtu;
mod peer;
mod traffic;
