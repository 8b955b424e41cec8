//! IKEv1: who the peer is, and which keys and algorithms are used with it, in the dialect of routers (RFC 2407, 2408, 2409, 3706, 3947).
//!
//! [`Endpoint`] has the shape of IKEv2's, and its commands and events: a program may hold both and tell their datagrams apart by the version
//! in octet 17. A datagram's way: receive.rs (header, SA, encryption, HASH), then one file an exchange: main_mode.rs and aggressive.rs,
//! quick.rs, informational.rs, xauth.rs. IPsec SAs outlive the ISAKMP SA that made them, so that they are the tunnel's (child.rs), and what a
//! tunnel waits to ask is a task of it (task.rs). Every SA and exchange has a deadline (timer.rs, expire.rs).

mod aggressive;
pub mod chain;
mod child;
mod command_run;
pub mod config_payload;
mod connection;
mod core;
mod dpd;
pub mod dpd_message;
mod endpoint;
mod established;
mod expire;
pub mod hash;
mod ids;
mod informational;
pub mod keys;
mod last_answer;
mod main_mode;
mod message;
mod message_ids;
pub mod natd;
mod offers;
mod pair;
mod phase_1;
pub mod proposal;
mod quick;
mod quick_asked;
mod receive;
#[cfg(test)]
mod recorded;
mod responder_lifetime;
mod sa;
mod session;
mod shown;
mod status_of;
mod task;
#[cfg(test)]
mod tests;
mod timer;
mod vendor;
mod xauth;
pub mod xauth_message;

pub use config_payload::Assigned;
pub use connection::{Connection, EasyVpn};
pub use endpoint::Endpoint;
pub use proposal::{EspProposal, IkeProposal};
pub use timer::Timer;

pub(crate) use informational::words as notify_words;
