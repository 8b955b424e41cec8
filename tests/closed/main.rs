//! A tunnel that asks for ESP is closed or up: nothing of the inside leaves in clear, no number is used twice, no dead peer looks alive.
//!
//! ```text
//! namespace a                              namespace b
//! 10.77.1.7, fd00:77:1::7 (lo)             10.77.2.7, fd00:77:2::7 (lo)
//! adit, tunnel t on tun-t                  adit, tunnel t on tun-t
//! 10.9.0.1/30, fd00:9::1/64                10.9.0.2/30, fd00:9::2/64
//! wire 192.0.2.1, 2001:db8::1 ──────────── wire 192.0.2.2, 2001:db8::2
//! ```
//!
//! The default routes of both lead to the wire: what nothing holds back leaves there in clear, where the capture sees it.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod capture;
mod echo;
mod leak;
mod load;
mod refused;
mod replay;
mod restart;
mod sealed_gre;
mod site;
mod wire;
