//! IKEv2 messages: the header, the payloads, their writing, and what is sealed (RFC 7296 section 3, RFC 7383).
//!
//! In: [`Header::parse`] on the datagram, [`payloads()`] on what follows; [`sk::open`] opens a message that is sealed,
//! and [`opened_payloads()`] reads what was inside. Out: a [`Writer`] makes the chain; [`write_message`] puts a header in front of it, or
//! [`sk::seal_message`] and [`sk::seal_fragments`] seal it.
//! Nothing that a peer sends makes a reader fail but by a [`Malformed`], and what is read borrows from the message.

pub mod header;
pub mod notify;
pub mod payload;
pub mod sa;
pub mod sk;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod ts;
mod write;

pub use crate::wire::malformed::{Malformed, Why};
pub use header::{ExchangeType, Flags, HEADER_OCTETS, Header};
pub use notify::notify_name;
pub use payload::{
    Delete, Id, Notify, Payload, kind, opened_payloads, payloads, unsupported_critical,
};
pub use sa::{Proposal, Protocol, SaPayload, Transform, TransformKind};
pub use summary::summary;
pub use ts::TrafficSelector;
pub use write::{Writer, write_message};
