//! IKEv1 messages: the header, the payloads and their writing (RFC 2407, 2408, 2409, 3947).
//!
//! In: [`Header::parse`] on the datagram, [`payloads()`] on what follows, or [`opened`] on what was decrypted, which ends in padding.
//! Out: a [`Writer`] makes the chain, [`behind_hash`] puts a HASH in front of it, [`write_message`] a header.
//! Nothing that a peer sends makes a reader fail but by a [`Malformed`], and what is read borrows from the message.

pub mod attribute;
pub mod header;
pub mod notify;
pub mod payload;
pub mod sa;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod vendor;
mod write;

pub use crate::wire::malformed::{Malformed, Why};
pub use attribute::{Attribute, Value};
pub use header::{ExchangeType, Flags, HEADER_OCTETS, Header};
pub use notify::notify_name;
pub use payload::{
    Attributes, ConfigKind, Delete, Id, Notify, Opened, Payload, kind, opened, payloads,
};
pub use sa::{DOI_IPSEC, Proposal, Protocol, SITUATION_IDENTITY_ONLY, SaPayload, Transform};
pub use summary::summary;
pub use vendor::VendorId;
pub use write::{Writer, behind_hash, write_message};
