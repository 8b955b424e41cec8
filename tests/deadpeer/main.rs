//! What a dead peer does to a tunnel and its interface, and what must not look like one.
//!
//! ```text
//! namespace a                          namespace b
//! adit, tunnels tN on gre-N            adit, the same tunnels
//! 10.9.N.1/30, fd00:9:N::1/64          10.9.N.2/30, fd00:9:N::2/64
//! wire 192.0.2.1, 2001:db8::1 ──────── wire 192.0.2.2, 2001:db8::2
//! ```
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod counting;
mod damping;
mod detection;
mod failover;
mod guard;
mod hooks;
mod interface;
mod many;
mod on_dead;
mod one_sided;
mod operator;
mod restart;
mod site;
mod stalls;
mod wire;
