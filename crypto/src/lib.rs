//! Keys, randomness and keyed digests: the one package that names ring.
//!
//! | name | key octets | digest octets | source |
//! |---|---|---|---|
//! | SipHash-2-4 | 16 | 8 | Aumasson and Bernstein, "SipHash: a fast short-input PRF" |
#![forbid(unsafe_code)]

mod mac;
mod secret;

pub use mac::{DIGEST_OCTETS, SipHash24};
pub use secret::{RandomUnavailable, Secret};
