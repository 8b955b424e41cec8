//! Hash algorithms, and the pseudorandom function that each of them is in an HMAC (RFC 2409 sections 4 and 5).

use std::fmt;

use hmac::digest::Digest;
use md5::Md5;
use ring::{digest, hmac as ring_hmac};

use crate::SecretBytes;
use crate::hmac::HmacKey;

/// A hash algorithm (attribute 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hash {
    /// MD5 (1; RFC 1321).
    Md5,
    /// SHA-1 (2; FIPS 180).
    Sha1,
    /// SHA2-256 (4; FIPS 180).
    Sha256,
    /// SHA2-384 (5; FIPS 180).
    Sha384,
    /// SHA2-512 (6; FIPS 180).
    Sha512,
}

impl Hash {
    /// Every algorithm, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Md5,
        Self::Sha1,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    /// The number in an attribute.
    #[must_use]
    pub const fn iana(self) -> u16 {
        match self {
            Self::Md5 => 1,
            Self::Sha1 => 2,
            Self::Sha256 => 4,
            Self::Sha384 => 5,
            Self::Sha512 => 6,
        }
    }

    /// The algorithm of that number.
    #[must_use]
    pub fn from_iana(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|hash| hash.iana() == id)
    }

    /// The name in proposals, as strongSwan writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|hash| hash.name() == name)
    }

    /// Whether it may be used only where a configuration says so by name.
    #[must_use]
    pub const fn is_insecure(self) -> bool {
        match self {
            Self::Md5 | Self::Sha1 => true,
            Self::Sha256 | Self::Sha384 | Self::Sha512 => false,
        }
    }

    /// Octets of a digest, and of what [`Hash::prf`] gives.
    #[must_use]
    pub const fn octets(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `parts`, one after the other: [`Hash::octets`] of them.
    #[must_use]
    pub fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        let algorithm = match self {
            Self::Md5 => return md5(parts),
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        let mut context = digest::Context::new(algorithm);
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }

    /// `prf(key, parts)`, the algorithm's HMAC: the parts one after the other, the key of any length.
    #[must_use]
    pub fn prf(self, key: &[u8], parts: &[&[u8]]) -> SecretBytes {
        let algorithm = match self {
            Self::Md5 => return SecretBytes::from_slice(HmacKey::md5(key).tag(parts).as_ref()),
            Self::Sha1 => ring_hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => ring_hmac::HMAC_SHA256,
            Self::Sha384 => ring_hmac::HMAC_SHA384,
            Self::Sha512 => ring_hmac::HMAC_SHA512,
        };
        SecretBytes::from_slice(HmacKey::ring(algorithm, key).tag(parts).as_ref())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn md5(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Md5::new();
    for part in parts {
        context.update(part);
    }
    context.finalize().to_vec()
}

#[cfg(test)]
mod tests;
