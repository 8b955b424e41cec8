//! The algorithms of IKEv1, which has lists and numbers of its own (RFC 2409 appendix A, IANA "IPSEC registry").
//!
//! | name | number | octets | source |
//! |---|---|---|---|
//! | md5, sha1, sha256, sha384, sha512 | 1, 2, 4, 5, 6 | digest 16, 20, 32, 48, 64 | RFC 2409, RFC 4868 |
//! | aes128, aes256 | 7 with 128, 256 bits | key 16, 32, block 16 | RFC 3602 |
//! | 3des | 5 | key 24, block 8 | RFC 2451 |
//! | modp1024, modp2048, modp3072, modp4096 | 2, 14, 15, 16 | public 128, 256, 384, 512 | RFC 2409, RFC 3526 |
//! | ecp256, ecp384, x25519 | 19, 20, 31 | public 64, 96, 32 | RFC 5903, RFC 8031 |

mod cipher;
mod group;
mod hash;
mod modp;

pub use cipher::{CbcKey, Cipher};
pub use group::{BadPublic, Group, KeyPair};
pub use hash::Hash;
