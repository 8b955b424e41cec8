//! Headers as they stand on the wire.
//!
//! * [`esp`]: RFC 4303, the fixed header.
//! * [`gre`]: RFC 2784 with the key and sequence number of RFC 2890.
//! * [`ike`]: RFC 7296, IKEv2 messages.
//! * [`isakmp`]: RFC 2408, IKEv1 messages.
//! * [`ip`]: RFC 791 and RFC 8200, the fixed headers.
//! * [`natt`]: what a UDP-encapsulated packet is, RFC 3948.

pub mod esp;
pub mod gre;
pub mod ike;
pub mod ip;
pub mod isakmp;
mod malformed;
pub mod natt;
mod substructure;
