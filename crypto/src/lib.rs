//! Keys, ciphers, randomness and keyed digests: the one package that names ring.
//!
//! | name | key octets | digest octets | source |
//! |---|---|---|---|
//! | SipHash-2-4 | 16 | 8 | Aumasson and Bernstein, "SipHash: a fast short-input PRF" |
//!
//! | suite | IANA id | key, salt octets | IV, ICV octets | source |
//! |---|---|---|---|---|
//! | aes128gcm16 | 20 | 16, 4 | 8, 16 | RFC 4106 |
//! | aes256gcm16 | 20 | 32, 4 | 8, 16 | RFC 4106 |
//! | chacha20poly1305 | 28 | 32, 4 | 8, 16 | RFC 7634 |
#![forbid(unsafe_code)]

mod aead;
mod mac;
mod secret;

pub use aead::{Aead, Associated, KeymatLength, Refused, Suite};
pub use mac::{DIGEST_OCTETS, SipHash24};
pub use secret::{RandomUnavailable, Secret};
