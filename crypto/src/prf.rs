//! The pseudorandom functions of IKEv2 and `prf+` (RFC 7296 sections 2.13 and 3.3.2, RFC 4868).

use std::fmt;

use ring::hmac;

use crate::SecretBytes;

/// HMAC with a hash of the SHA-2 family, as a pseudorandom function (IANA transform type 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prf {
    /// `PRF_HMAC_SHA2_256` (IANA 5).
    HmacSha256,
    /// `PRF_HMAC_SHA2_384` (IANA 6).
    HmacSha384,
    /// `PRF_HMAC_SHA2_512` (IANA 7).
    HmacSha512,
}

impl Prf {
    /// Every function, in the order of their numbers.
    pub const ALL: &[Self] = &[Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// The number in a transform.
    #[must_use]
    pub const fn iana(self) -> u16 {
        match self {
            Self::HmacSha256 => 5,
            Self::HmacSha384 => 6,
            Self::HmacSha512 => 7,
        }
    }

    /// The function of that number.
    #[must_use]
    pub fn from_iana(id: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|prf| prf.iana() == id)
    }

    /// The name in proposals, as strongSwan writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "prfsha256",
            Self::HmacSha384 => "prfsha384",
            Self::HmacSha512 => "prfsha512",
        }
    }

    /// The function of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|prf| prf.name() == name)
    }

    /// Octets of its output, and of the key that it prefers (RFC 7296 section 2.13).
    #[must_use]
    pub const fn output_octets(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }

    /// `prf(key, parts)`: the parts one after the other, the key of any length.
    #[must_use]
    pub fn mac(self, key: &[u8], parts: &[&[u8]]) -> SecretBytes {
        SecretBytes::from_slice(tag(&self.key(key), parts).as_ref())
    }

    /// The first `octets` octets of `prf+(key, seed)`, of which there are at most 255 outputs (RFC 7296 section 2.13); the seed's
    /// parts one after the other.
    #[must_use]
    pub fn plus(self, key: &[u8], seed: &[&[u8]], octets: usize) -> SecretBytes {
        let key = self.key(key);
        let most = usize::from(u8::MAX) * self.output_octets();
        let mut stream = Vec::with_capacity(octets.min(most));
        let mut block: Option<hmac::Tag> = None;
        for number in 1..=u8::MAX {
            let missing = octets.saturating_sub(stream.len());
            if missing == 0 {
                break;
            }
            let mut context = hmac::Context::with_key(&key);
            if let Some(before) = &block {
                context.update(before.as_ref());
            }
            for part in seed {
                context.update(part);
            }
            context.update(&[number]);
            let tag = context.sign();
            stream.extend(tag.as_ref().iter().take(missing));
            block = Some(tag);
        }
        SecretBytes::new(stream)
    }

    fn key(self, key: &[u8]) -> hmac::Key {
        let algorithm = match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha384 => hmac::HMAC_SHA384,
            Self::HmacSha512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(algorithm, key)
    }
}

impl fmt::Display for Prf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

pub(crate) fn tag(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}

#[cfg(test)]
mod tests;
