//! The algorithms of an ESP security association, their names, numbers and lengths.

use std::fmt;

use ring::aead::{AES_128_GCM, AES_256_GCM, Algorithm, CHACHA20_POLY1305};

use crate::Integrity;
use crate::aead::cbc::CbcCipher;
use crate::aead::combined::{ICV_OCTETS, IV_OCTETS, SALT_OCTETS};
use crate::integrity::Check;

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
    /// AES-CBC with a 128-bit key and HMAC-SHA-1-96 (RFC 2404; IANA 2); insecure.
    Aes128CbcHmacSha1,
    /// AES-CBC with a 256-bit key and HMAC-SHA-1-96; insecure.
    Aes256CbcHmacSha1,
    /// Triple-DES in CBC mode (RFC 2451; IANA 3) and HMAC-SHA-1-96; insecure.
    TripleDesCbcHmacSha1,
    /// Triple-DES in CBC mode and HMAC-MD5-96 (RFC 2403; IANA 1); insecure.
    TripleDesCbcHmacMd5,
}

/// How a suite encrypts and authenticates.
pub(crate) enum Mode {
    Combined(&'static Algorithm),
    Cbc { cipher: CbcCipher, check: Check },
}

impl Suite {
    /// Every suite but those of [`Suite::INSECURE`].
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

    /// Those that only IKEv1 agrees on, and only where a configuration allows it; [`Suite::parse`] and [`Suite::from_iana`] know none
    /// of them.
    pub const INSECURE: &[Self] = &[
        Self::Aes128CbcHmacSha1,
        Self::Aes256CbcHmacSha1,
        Self::TripleDesCbcHmacSha1,
        Self::TripleDesCbcHmacMd5,
    ];

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
            Self::Aes128CbcHmacSha1 => "aes128-sha1",
            Self::Aes256CbcHmacSha1 => "aes256-sha1",
            Self::TripleDesCbcHmacSha1 => "3des-sha1",
            Self::TripleDesCbcHmacMd5 => "3des-md5",
        }
    }

    /// The suite of [`Suite::ALL`] of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.name() == name)
    }

    /// The suite of [`Suite::INSECURE`] of that name.
    #[must_use]
    pub fn parse_insecure(name: &str) -> Option<Self> {
        Self::INSECURE
            .iter()
            .copied()
            .find(|suite| suite.name() == name)
    }

    /// Whether it is one of [`Suite::INSECURE`].
    #[must_use]
    pub fn is_insecure(self) -> bool {
        Self::INSECURE.contains(&self)
    }

    /// The number of its cipher in a transform of type 1.
    #[must_use]
    pub const fn iana_encr(self) -> u16 {
        match self {
            Self::Aes128Gcm16 | Self::Aes256Gcm16 => 20,
            Self::ChaCha20Poly1305 => 28,
            Self::Aes128CbcHmacSha256
            | Self::Aes256CbcHmacSha256
            | Self::Aes256CbcHmacSha384
            | Self::Aes128CbcHmacSha1
            | Self::Aes256CbcHmacSha1 => 12,
            Self::TripleDesCbcHmacSha1 | Self::TripleDesCbcHmacMd5 => 3,
        }
    }

    /// The Key Length attribute of its cipher, in bits, where the cipher has one (RFC 7296 section 3.3.5).
    #[must_use]
    pub const fn key_bits(self) -> Option<u16> {
        match self {
            Self::Aes128Gcm16 | Self::Aes128CbcHmacSha256 | Self::Aes128CbcHmacSha1 => Some(128),
            Self::Aes256Gcm16
            | Self::Aes256CbcHmacSha256
            | Self::Aes256CbcHmacSha384
            | Self::Aes256CbcHmacSha1 => Some(256),
            Self::ChaCha20Poly1305 | Self::TripleDesCbcHmacSha1 | Self::TripleDesCbcHmacMd5 => None,
        }
    }

    /// The number of its integrity algorithm in a transform of type 3; none where the cipher authenticates.
    #[must_use]
    pub const fn iana_integ(self) -> Option<u16> {
        match self.mode() {
            Mode::Combined(_) => None,
            Mode::Cbc { check, .. } => Some(check.iana()),
        }
    }

    /// The suite of [`Suite::ALL`] of a cipher's number, its Key Length attribute and an integrity algorithm's number.
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
            Self::Aes128CbcHmacSha1 => 16 + 20,
            Self::Aes256CbcHmacSha1 => 32 + 20,
            Self::TripleDesCbcHmacSha1 => 24 + 20,
            Self::TripleDesCbcHmacMd5 => 24 + 16,
        }
    }

    /// Octets between the ESP header and the ciphertext.
    #[must_use]
    pub const fn iv_octets(self) -> usize {
        match self.mode() {
            Mode::Combined(_) => IV_OCTETS,
            Mode::Cbc { cipher, .. } => cipher.block_octets(),
        }
    }

    /// Octets behind the ciphertext.
    #[must_use]
    pub const fn icv_octets(self) -> usize {
        match self.mode() {
            Mode::Combined(_) => ICV_OCTETS,
            Mode::Cbc { check, .. } => check.icv_octets(),
        }
    }

    /// What the ciphertext's length is a multiple of, in octets: 4, or the cipher's block if that is larger (RFC 4303 section 2.4).
    #[must_use]
    pub const fn align_octets(self) -> usize {
        match self.mode() {
            Mode::Combined(_) => 4,
            Mode::Cbc { cipher, .. } => cipher.block_octets(),
        }
    }

    pub(crate) const fn mode(self) -> Mode {
        let (cipher, check) = match self {
            Self::Aes128Gcm16 => return Mode::Combined(&AES_128_GCM),
            Self::Aes256Gcm16 => return Mode::Combined(&AES_256_GCM),
            Self::ChaCha20Poly1305 => return Mode::Combined(&CHACHA20_POLY1305),
            Self::Aes128CbcHmacSha256 => (CbcCipher::Aes128, Check::Of(Integrity::HmacSha256_128)),
            Self::Aes256CbcHmacSha256 => (CbcCipher::Aes256, Check::Of(Integrity::HmacSha256_128)),
            Self::Aes256CbcHmacSha384 => (CbcCipher::Aes256, Check::Of(Integrity::HmacSha384_192)),
            Self::Aes128CbcHmacSha1 => (CbcCipher::Aes128, Check::HmacSha1_96),
            Self::Aes256CbcHmacSha1 => (CbcCipher::Aes256, Check::HmacSha1_96),
            Self::TripleDesCbcHmacSha1 => (CbcCipher::TripleDes, Check::HmacSha1_96),
            Self::TripleDesCbcHmacMd5 => (CbcCipher::TripleDes, Check::HmacMd5_96),
        };
        Mode::Cbc { cipher, check }
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
    fn a_suite_that_is_insecure_is_found_by_no_name_or_number_that_others_are() {
        for &suite in Suite::INSECURE {
            assert_eq!(Suite::parse_insecure(suite.name()), Some(suite));
            assert_eq!(Suite::parse(suite.name()), None);
            let (encr, bits, integ) = (suite.iana_encr(), suite.key_bits(), suite.iana_integ());
            assert_eq!(Suite::from_iana(encr, bits, integ), None);
            assert!(suite.is_insecure() && !Suite::ALL.contains(&suite));
        }
        for &suite in Suite::ALL {
            assert_eq!(Suite::parse_insecure(suite.name()), None);
            assert!(!suite.is_insecure());
        }
    }

    #[test]
    fn keying_material_is_a_key_with_its_salt_or_its_integrity_key() {
        for &suite in Suite::ALL.iter().chain(Suite::INSECURE) {
            let wanted = match suite.mode() {
                Mode::Combined(algorithm) => algorithm.key_len() + SALT_OCTETS,
                Mode::Cbc { cipher, check } => cipher.key_octets() + check.key_octets(),
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
