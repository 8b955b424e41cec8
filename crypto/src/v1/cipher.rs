//! What encrypts ISAKMP messages: block ciphers in chaining mode, without integrity of their own (RFC 2409 appendix B).

use std::fmt;

use crate::aead::cbc::{self, CbcCipher};
use crate::{KeymatLength, Refused};

/// An encryption algorithm (attribute 1, with attribute 14 for the key's length).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cipher {
    /// AES-CBC with a 128-bit key (7; RFC 3602).
    Aes128Cbc,
    /// AES-CBC with a 256-bit key (7; RFC 3602).
    Aes256Cbc,
    /// Triple-DES in CBC mode with three keys (5; RFC 2451). Its tables are looked up at places that depend on the key.
    TripleDesCbc,
}

impl Cipher {
    /// Every algorithm.
    pub const ALL: &[Self] = &[Self::Aes128Cbc, Self::Aes256Cbc, Self::TripleDesCbc];

    /// The number in an attribute.
    #[must_use]
    pub const fn iana(self) -> u16 {
        match self {
            Self::Aes128Cbc | Self::Aes256Cbc => 7,
            Self::TripleDesCbc => 5,
        }
    }

    /// The Key Length attribute, in bits; none for the cipher whose keys are all of one length (RFC 2409 appendix A).
    #[must_use]
    pub const fn key_bits(self) -> Option<u16> {
        match self {
            Self::Aes128Cbc => Some(128),
            Self::Aes256Cbc => Some(256),
            Self::TripleDesCbc => None,
        }
    }

    /// The algorithm of that number and Key Length attribute.
    #[must_use]
    pub fn from_iana(id: u16, key_bits: Option<u16>) -> Option<Self> {
        let of_both = |cipher: &Self| (cipher.iana(), cipher.key_bits()) == (id, key_bits);
        Self::ALL.iter().copied().find(of_both)
    }

    /// The name in proposals, as strongSwan writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Cbc => "aes128",
            Self::Aes256Cbc => "aes256",
            Self::TripleDesCbc => "3des",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let of_name = |cipher: &Self| cipher.name() == name;
        Self::ALL.iter().copied().find(of_name)
    }

    /// Whether it may be used only where a configuration says so by name.
    #[must_use]
    pub const fn is_insecure(self) -> bool {
        match self {
            Self::Aes128Cbc | Self::Aes256Cbc => false,
            Self::TripleDesCbc => true,
        }
    }

    /// Octets of its key.
    #[must_use]
    pub const fn key_octets(self) -> usize {
        self.chained().key_octets()
    }

    /// Octets of a block, and of an initialization vector.
    #[must_use]
    pub const fn block_octets(self) -> usize {
        self.chained().block_octets()
    }

    const fn chained(self) -> CbcCipher {
        match self {
            Self::Aes128Cbc => CbcCipher::Aes128,
            Self::Aes256Cbc => CbcCipher::Aes256,
            Self::TripleDesCbc => CbcCipher::TripleDes,
        }
    }
}

impl fmt::Display for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key of an ISAKMP SA, zeroed on drop. It shows nothing of itself.
pub struct CbcKey {
    cipher: Cipher,
    key: cbc::CbcKey,
}

impl CbcKey {
    /// Takes a key of [`Cipher::key_octets`]; the parity bits of DES are not looked at.
    ///
    /// # Errors
    /// [`KeymatLength`] for one of another length.
    pub fn new(cipher: Cipher, key: &[u8]) -> Result<Self, KeymatLength> {
        let key = cbc::CbcKey::new(cipher.chained(), key)?;
        Ok(Self { cipher, key })
    }

    /// The algorithm.
    #[must_use]
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Encrypts whole blocks in place; the next message's IV is the last of them.
    ///
    /// # Errors
    /// [`Refused`], and `in_place` is as it was, unless `iv` is a block and `in_place` whole ones.
    pub fn encrypt(&self, iv: &[u8], in_place: &mut [u8]) -> Result<(), Refused> {
        self.key.encrypt(iv, in_place)
    }

    /// Decrypts whole blocks in place. Nothing tells whether the key was theirs.
    ///
    /// # Errors
    /// [`Refused`], and `in_place` is as it was, unless `iv` is a block and `in_place` whole ones.
    pub fn decrypt(&self, iv: &[u8], in_place: &mut [u8]) -> Result<(), Refused> {
        self.key.decrypt(iv, in_place)
    }
}

impl fmt::Debug for CbcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CbcKey({})", self.cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decrypted_is_what_was_encrypted_block_by_block_along_the_chain() {
        for &cipher in Cipher::ALL {
            let octets = cipher.block_octets();
            let key = CbcKey::new(cipher, &vec![0x42; cipher.key_octets()]).unwrap();
            let plaintext: Vec<u8> = (0..).take(4 * octets).collect();
            let iv = vec![0x17; octets];
            let mut whole = plaintext.clone();
            key.encrypt(&iv, &mut whole).unwrap();
            let mut halves = plaintext.clone();
            let (front, back) = halves.split_at_mut(2 * octets);
            key.encrypt(&iv, front).unwrap();
            key.encrypt(&front[octets..], back).unwrap();
            assert_eq!(whole, halves, "{cipher}");
            key.decrypt(&iv, &mut whole).unwrap();
            assert_eq!(whole, plaintext, "{cipher}");
        }
    }

    #[test]
    fn an_algorithm_is_found_by_its_name_and_its_numbers() {
        for &cipher in Cipher::ALL {
            assert_eq!(Cipher::parse(&cipher.to_string()), Some(cipher));
            let (id, bits) = (cipher.iana(), cipher.key_bits());
            assert_eq!(Cipher::from_iana(id, bits), Some(cipher));
        }
        assert_eq!(Cipher::parse("aes192"), None);
        assert_eq!(Cipher::from_iana(7, None), None);
        assert_eq!(Cipher::from_iana(5, Some(192)), None);
        assert_eq!(Cipher::from_iana(1, None), None);
    }

    #[test]
    fn triple_des_is_the_insecure_one_and_has_blocks_of_8_octets() {
        for &cipher in Cipher::ALL {
            let is_des = cipher == Cipher::TripleDesCbc;
            assert_eq!(cipher.is_insecure(), is_des);
            assert_eq!(cipher.block_octets(), if is_des { 8 } else { 16 });
        }
    }

    #[test]
    fn a_key_shows_its_algorithm_only() {
        let key = CbcKey::new(Cipher::TripleDesCbc, &[0xab; 24]).unwrap();
        assert_eq!(format!("{key:?}"), "CbcKey(3des)");
    }
}
