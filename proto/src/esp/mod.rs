//! The encapsulating security payload (RFC 4303) with combined-mode algorithms: one security association each way.
//!
//! `SPI 4 | sequence number, low half 4 | IV | payload | TFC padding | padding 0..=255 | pad length 1 | next header 1 | ICV`, of which
//! everything from the payload to the next header is encrypted and everything is authenticated.
//!
//! Outbound: [`OutboundSa::seal`] in the send train. Inbound: the SPI picks an [`InboundSa`], whose [`open`](InboundSa::open) checks window,
//! ICV, window again and trailer, in this order; nothing before the ICV changes any state.

mod inbound;
mod lifetime;
mod outbound;
pub mod replay;
mod selectors;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use inbound::{InboundSa, Opened};
pub use lifetime::{Lifetime, Limits};
pub use outbound::OutboundSa;
pub use selectors::{Prefix, Selectors};

use adit_crypto::Suite;

use crate::wire::esp::{HEADER_OCTETS, TRAILER_OCTETS};

/// Octets from the SPI to the payload.
#[inline]
#[must_use]
pub const fn prefix_octets(suite: Suite) -> usize {
    HEADER_OCTETS + suite.iv_octets()
}

/// Octets from the SPI to the payload with the suite that has most of them: one whose IV is a block.
pub const PREFIX_OCTETS_MAX: usize = prefix_octets(Suite::Aes256CbcHmacSha384);

/// Octets of the whole ESP packet that carries `payload_octets`, TFC padding included: with the least padding that aligns it.
#[inline]
#[must_use]
pub const fn packet_octets(suite: Suite, payload_octets: usize) -> usize {
    let sealed = (payload_octets + TRAILER_OCTETS).next_multiple_of(suite.align_octets());
    prefix_octets(suite) + sealed + suite.icv_octets()
}

/// The largest payload of an ESP packet of at most `octets` octets.
#[must_use]
pub const fn payload_octets_max(suite: Suite, octets: usize) -> usize {
    let sealed = octets.saturating_sub(prefix_octets(suite) + suite.icv_octets());
    let align = suite.align_octets();
    (sealed / align * align).saturating_sub(TRAILER_OCTETS)
}
