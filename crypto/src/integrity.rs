//! Integrity algorithms: HMAC, cut to half of its octets (RFC 4868), or to 96 bits (RFC 2403, RFC 2404).

use std::fmt;

use ring::hmac;

use crate::aead::{KeymatLength, Refused};
use crate::constant_time_eq;
use crate::hmac::HmacKey;

/// What authenticates where the cipher does not (IANA transform type 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Integrity {
    /// `AUTH_HMAC_SHA2_256_128` (IANA 12).
    HmacSha256_128,
    /// `AUTH_HMAC_SHA2_384_192` (IANA 13).
    HmacSha384_192,
}

impl Integrity {
    /// Every algorithm, in the order of their numbers.
    pub const ALL: &[Self] = &[Self::HmacSha256_128, Self::HmacSha384_192];

    /// The number in a transform.
    #[must_use]
    pub const fn iana(self) -> u16 {
        match self {
            Self::HmacSha256_128 => 12,
            Self::HmacSha384_192 => 13,
        }
    }

    /// The algorithm of that number.
    #[must_use]
    pub fn from_iana(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.iana() == id)
    }

    /// The name in proposals, as strongSwan writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256_128 => "sha256",
            Self::HmacSha384_192 => "sha384",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name() == name)
    }

    /// Octets of its key.
    #[must_use]
    pub const fn key_octets(self) -> usize {
        match self {
            Self::HmacSha256_128 => 32,
            Self::HmacSha384_192 => 48,
        }
    }

    /// Octets of the integrity check value.
    #[must_use]
    pub const fn icv_octets(self) -> usize {
        self.key_octets() / 2
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What authenticates a packet: an algorithm that may be negotiated anywhere, or one that only an insecure suite has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Of(Integrity),
    /// `AUTH_HMAC_SHA1_96` (IANA 2, RFC 2404).
    HmacSha1_96,
    /// `AUTH_HMAC_MD5_96` (IANA 1, RFC 2403).
    HmacMd5_96,
}

impl Check {
    pub(crate) const fn iana(self) -> u16 {
        match self {
            Self::Of(integrity) => integrity.iana(),
            Self::HmacSha1_96 => 2,
            Self::HmacMd5_96 => 1,
        }
    }

    pub(crate) const fn key_octets(self) -> usize {
        match self {
            Self::Of(integrity) => integrity.key_octets(),
            Self::HmacSha1_96 => 20,
            Self::HmacMd5_96 => 16,
        }
    }

    pub(crate) const fn icv_octets(self) -> usize {
        match self {
            Self::Of(integrity) => integrity.icv_octets(),
            Self::HmacSha1_96 | Self::HmacMd5_96 => 12,
        }
    }

    fn key(self, key: &[u8]) -> HmacKey {
        match self {
            Self::Of(Integrity::HmacSha256_128) => HmacKey::ring(hmac::HMAC_SHA256, key),
            Self::Of(Integrity::HmacSha384_192) => HmacKey::ring(hmac::HMAC_SHA384, key),
            Self::HmacSha1_96 => HmacKey::ring(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key),
            Self::HmacMd5_96 => HmacKey::md5(key),
        }
    }
}

/// An integrity algorithm under its key.
pub(crate) struct Mac {
    icv_octets: usize,
    key: HmacKey,
}

impl Mac {
    pub(crate) fn new(check: Check, key: &[u8]) -> Result<Self, KeymatLength> {
        let wanted = check.key_octets();
        let octets = key.len();
        if octets != wanted {
            return Err(KeymatLength { octets, wanted });
        }
        Ok(Self {
            icv_octets: check.icv_octets(),
            key: check.key(key),
        })
    }

    pub(crate) const fn icv_octets(&self) -> usize {
        self.icv_octets
    }

    /// Writes the check value of `parts`, one after the other.
    pub(crate) fn write(&self, parts: &[&[u8]], icv: &mut [u8]) -> Result<(), Refused> {
        let tag = self.key.tag(parts);
        let value = tag.as_ref().get(..self.icv_octets).ok_or(Refused)?;
        if icv.len() != value.len() {
            return Err(Refused);
        }
        icv.copy_from_slice(value);
        Ok(())
    }

    /// Refuses what is not the check value of `parts`, in the same time wherever they differ.
    pub(crate) fn verify(&self, parts: &[&[u8]], icv: &[u8]) -> Result<(), Refused> {
        let tag = self.key.tag(parts);
        let value = tag.as_ref().get(..self.icv_octets).ok_or(Refused)?;
        constant_time_eq(value, icv).then_some(()).ok_or(Refused)
    }
}

#[cfg(test)]
mod tests;
