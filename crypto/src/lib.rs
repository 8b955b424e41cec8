//! Keys, ciphers, randomness and keyed digests: the one package that names ring and the like.
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
//! | aes128-sha256 | 12, 12 | 16, 32 (HMAC) | 16, 16 | RFC 3602, RFC 4868 |
//! | aes256-sha256 | 12, 12 | 32, 32 (HMAC) | 16, 16 | RFC 3602, RFC 4868 |
//! | aes256-sha384 | 12, 13 | 32, 48 (HMAC) | 16, 24 | RFC 3602, RFC 4868 |
//! | aes128-sha1 | 12, 2 | 16, 20 (HMAC) | 16, 12 | RFC 3602, RFC 2404 |
//! | aes256-sha1 | 12, 2 | 32, 20 (HMAC) | 16, 12 | RFC 3602, RFC 2404 |
//! | 3des-sha1 | 3, 2 | 24, 20 (HMAC) | 8, 12 | RFC 2451, RFC 2404 |
//! | 3des-md5 | 3, 1 | 24, 16 (HMAC) | 8, 12 | RFC 2451, RFC 2403 |
//!
//! The last four are those of [`Suite::INSECURE`]. IKEv2 takes the other ciphers for its messages, the pseudorandom functions of
//! [`Prf`], the groups of [`Group`]; what IKEv1 takes is in [`v1`].
#![forbid(unsafe_code)]

mod aead;
mod digest;
mod hmac;
mod integrity;
mod ke;
mod mac;
mod prf;
mod secret;
mod sign;
mod sk;
mod suite;
mod trust;
pub mod v1;
mod x509;

pub use aead::{Aead, Associated, KeymatLength, Refused};
pub use digest::sha1;
pub use integrity::Integrity;
pub use ke::{BadPublic, Group, KeyPair};
pub use mac::{DIGEST_OCTETS, SipHash24};
pub use prf::Prf;
pub use secret::{RandomUnavailable, Secret, SecretBytes, constant_time_eq, random};
pub use sign::{BadKey, SigningKey, verify_signature};
pub use sk::{IkeCipher, SkKey};
pub use suite::Suite;
pub use trust::{CertificateRefused, TrustAnchors};
pub use x509::{BadCertificate, Certificate};

#[cfg(test)]
#[path = "../tests/records/mod.rs"]
mod records;
