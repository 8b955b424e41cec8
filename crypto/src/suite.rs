//! The algorithms of an ESP security association, their names, numbers and lengths.

use std::fmt;

use ring::aead::{AES_128_GCM, AES_256_GCM, Algorithm, CHACHA20_POLY1305};

use crate::Integrity;
use crate::aead::cbc::BLOCK_OCTETS;
use crate::aead::combined::{ICV_OCTETS, IV_OCTETS, SALT_OCTETS};

/// What seals the packets of a security association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// AES-GCM with a 128-bit key and a 16-octet ICV (RFC 4106; IANA 20).
    Aes128Gcm16,
    /// AES-GCM with a 256-bit key and a 16-octet ICV (RFC 4106; IANA 20).
    Aes256Gcm16,
    /// ChaCha20-Poly1305 (RFC 7634; IANA 28).
    ChaCha20Poly1305,
    /// AES-CBC with a 128-bit key (RFC 3602; IANA 12) and HMAC-SHA-256-128 (RFC 4868; IANA 12).
    Aes128CbcHmacSha256,
    /// AES-CBC with a 256-bit key and HMAC-SHA-256-128.
    Aes256CbcHmacSha256,
    /// AES-CBC with a 256-bit key and HMAC-SHA-384-192 (RFC 4868; IANA 13).
    Aes256CbcHmacSha384,
}

/// How a suite encrypts and authenticates.
pub(crate) enum Mode {
    Combined(&'static Algorithm),
    Cbc {
        key_octets: usize,
        integrity: Integrity,
    },
}

impl Suite {
    /// Every suite.
    pub const ALL: &[Self] = &[
        Self::Aes128Gcm16,
        Self::Aes256Gcm16,
        Self::ChaCha20Poly1305,
        Self::Aes128CbcHmacSha256,
        Self::Aes256CbcHmacSha256,
        Self::Aes256CbcHmacSha384,
    ];

    /// Those that encrypt and authenticate in one pass, and that key files hold: [`Suite::ALL`] but the chained ones.
    pub const COMBINED: &[Self] = &[Self::Aes128Gcm16, Self::Aes256Gcm16, Self::ChaCha20Poly1305];

    /// The name in configurations and key files, as strongSwan writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
            Self::ChaCha20Poly1305 => "chacha20poly1305",
            Self::Aes128CbcHmacSha256 => "aes128-sha256",
            Self::Aes256CbcHmacSha256 => "aes256-sha256",
            Self::Aes256CbcHmacSha384 => "aes256-sha384",
        }
    }

    /// The suite of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.name() == name)
    }

    /// The number of its cipher in a transform of type 1.
    #[must_use]
    pub const fn iana_encr(self) -> u16 {
        match self {
            Self::Aes128Gcm16 | Self::Aes256Gcm16 => 20,
            Self::ChaCha20Poly1305 => 28,
            Self::Aes128CbcHmacSha256 | Self::Aes256CbcHmacSha256 | Self::Aes256CbcHmacSha384 => 12,
        }
    }

    /// The Key Length attribute of its cipher, in bits, where the cipher has one (RFC 7296 section 3.3.5).
    #[must_use]
    pub const fn key_bits(self) -> Option<u16> {
        match self {
            Self::Aes128Gcm16 | Self::Aes128CbcHmacSha256 => Some(128),
            Self::Aes256Gcm16 | Self::Aes256CbcHmacSha256 | Self::Aes256CbcHmacSha384 => Some(256),
            Self::ChaCha20Poly1305 => None,
        }
    }

    /// The number of its integrity algorithm in a transform of type 3; none where the cipher authenticates.
    #[must_use]
    pub const fn iana_integ(self) -> Option<u16> {
        match self.mode() {
            Mode::Combined(_) => None,
            Mode::Cbc { integrity, .. } => Some(integrity.iana()),
        }
    }

    /// The suite of a cipher's number, its Key Length attribute and an integrity algorithm's number.
    #[must_use]
    pub fn from_iana(encr: u16, key_bits: Option<u16>, integ: Option<u16>) -> Option<Self> {
        let of_all = |suite: &Self| {
            (suite.iana_encr(), suite.key_bits(), suite.iana_integ()) == (encr, key_bits, integ)
        };
        Self::ALL.iter().copied().find(of_all)
    }

    /// Whether it costs several times what an AEAD of the same strength does: encryption in chained blocks cannot overlap, and the
    /// digest is a second pass.
    #[must_use]
    pub const fn is_slow(self) -> bool {
        match self.mode() {
            Mode::Combined(_) => false,
            Mode::Cbc { .. } => true,
        }
    }

    /// Octets of the keying material: the key and a salt of 4, or the key and the integrity key (RFC 7296 section 2.17).
    #[must_use]
    pub const fn keymat_octets(self) -> usize {
        match self {
            Self::Aes128Gcm16 => 16 + SALT_OCTETS,
            Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 32 + SALT_OCTETS,
            Self::Aes128CbcHmacSha256 => 16 + 32,
            Self::Aes256CbcHmacSha256 => 32 + 32,
            Self::Aes256CbcHmacSha384 => 32 + 48,
        }
    }

    /// Octets between the ESP header and the ciphertext.
    #[must_use]
    pub const fn iv_octets(self) -> usize {
        match self.mode() {
            Mode::Combined(_) => IV_OCTETS,
            Mode::Cbc { .. } => BLOCK_OCTETS,
        }
    }

    /// Octets behind the ciphertext.
    #[must_use]
    pub const fn icv_octets(self) -> usize {
        match self.mode() {
            Mode::Combined(_) => ICV_OCTETS,
            Mode::Cbc { integrity, .. } => integrity.icv_octets(),
        }
    }

    /// What the ciphertext's length is a multiple of, in octets: 4, or the cipher's block if that is larger (RFC 4303 section 2.4).
    #[must_use]
    pub const fn align_octets(self) -> usize {
        match self.mode() {
            Mode::Combined(_) => 4,
            Mode::Cbc { .. } => BLOCK_OCTETS,
        }
    }

    pub(crate) const fn mode(self) -> Mode {
        let (key_octets, integrity) = match self {
            Self::Aes128Gcm16 => return Mode::Combined(&AES_128_GCM),
            Self::Aes256Gcm16 => return Mode::Combined(&AES_256_GCM),
            Self::ChaCha20Poly1305 => return Mode::Combined(&CHACHA20_POLY1305),
            Self::Aes128CbcHmacSha256 => (16, Integrity::HmacSha256_128),
            Self::Aes256CbcHmacSha256 => (32, Integrity::HmacSha256_128),
            Self::Aes256CbcHmacSha384 => (32, Integrity::HmacSha384_192),
        };
        Mode::Cbc {
            key_octets,
            integrity,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_found_by_its_name_and_by_its_numbers() {
        for &suite in Suite::ALL {
            assert_eq!(Suite::parse(suite.name()), Some(suite));
            let (encr, bits, integ) = (suite.iana_encr(), suite.key_bits(), suite.iana_integ());
            assert_eq!(Suite::from_iana(encr, bits, integ), Some(suite));
        }
        assert_eq!(Suite::parse("aes192-sha256"), None);
        assert_eq!(Suite::from_iana(20, Some(128), Some(12)), None);
        assert_eq!(Suite::from_iana(20, Some(192), None), None);
        assert_eq!(Suite::from_iana(12, Some(256), None), None);
        assert_eq!(Suite::from_iana(28, Some(256), None), None);
    }

    #[test]
    fn keying_material_is_a_key_with_its_salt_or_its_integrity_key() {
        for &suite in Suite::ALL {
            let wanted = match suite.mode() {
                Mode::Combined(algorithm) => algorithm.key_len() + SALT_OCTETS,
                Mode::Cbc {
                    key_octets,
                    integrity,
                } => key_octets + integrity.key_octets(),
            };
            assert_eq!(suite.keymat_octets(), wanted, "{suite}");
            assert_eq!(suite.is_slow(), suite.iana_integ().is_some(), "{suite}");
            assert_eq!(
                suite.is_slow(),
                !Suite::COMBINED.contains(&suite),
                "{suite}"
            );
        }
    }
}
