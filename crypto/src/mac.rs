//! SipHash-2-4 as a keyed digest of short messages.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use subtle::ConstantTimeEq;

use crate::Secret;

/// Octets of a SipHash-2-4 digest.
pub const DIGEST_OCTETS: usize = 8;

/// SipHash-2-4 under one key; the digest is written little-endian, as its reference code does.
pub struct SipHash24(SipHasher24);

impl SipHash24 {
    /// Sets up the state for `key`.
    #[must_use]
    pub fn new(key: &Secret<16>) -> Self {
        Self(SipHasher24::new_with_key(key.expose()))
    }

    /// The digest of `parts`, one after the other.
    #[must_use]
    pub fn digest(&self, parts: &[&[u8]]) -> [u8; DIGEST_OCTETS] {
        let mut hasher = self.0;
        for part in parts {
            hasher.write(part);
        }
        hasher.finish().to_le_bytes()
    }

    /// Whether `digest` is the digest of `parts`; takes the same time wherever they differ.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], digest: &[u8]) -> bool {
        self.digest(parts).ct_eq(digest).into()
    }
}

impl fmt::Debug for SipHash24 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SipHash24")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> SipHash24 {
        SipHash24::new(&Secret::new(&mut std::array::from_fn(|i| {
            u8::try_from(i).unwrap()
        })))
    }

    #[test]
    fn reference_vectors_of_the_siphash_paper() {
        let message: [u8; 15] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(
            reference().digest(&[&message]),
            0xa129_ca61_49be_45e5_u64.to_le_bytes()
        );
        assert_eq!(
            reference().digest(&[]),
            [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]
        );
    }

    #[test]
    fn parts_are_digested_as_one_message() {
        let mac = reference();
        assert_eq!(mac.digest(&[b"ab", b"", b"c"]), mac.digest(&[b"abc"]));
    }

    #[test]
    fn any_flipped_bit_of_the_digest_is_refused() {
        let mac = reference();
        let digest = mac.digest(&[b"x"]);
        assert!(mac.verify(&[b"x"], &digest));
        for bit in 0..64 {
            let mut forged = digest;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(!mac.verify(&[b"x"], &forged));
        }
        assert!(!mac.verify(&[b"x"], &digest[..7]));
    }
}
