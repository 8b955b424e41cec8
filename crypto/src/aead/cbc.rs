//! Cipher block chaining with an HMAC over the ciphertext (RFC 3602, RFC 2451, RFC 4868, RFC 7296 section 3.14).

use aes::cipher::common::InnerIvInit;
use aes::cipher::{
    Array, Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt,
    BlockSizeUser, KeyInit,
};
use aes::{Aes128, Aes256};
use des::TdesEde3;

use super::{KeymatLength, Refused};
use crate::integrity::{Check, Mac};

/// Octets of a block of AES, and of its initialization vector.
pub(crate) const BLOCK_OCTETS: usize = 16;

/// A block cipher to be chained.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CbcCipher {
    Aes128,
    Aes256,
    TripleDes,
}

impl CbcCipher {
    pub(crate) const fn key_octets(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
            Self::TripleDes => 24,
        }
    }

    /// Octets of a block, and of an initialization vector.
    pub(crate) const fn block_octets(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes256 => BLOCK_OCTETS,
            Self::TripleDes => 8,
        }
    }
}

/// A key of a block cipher, zeroed on drop.
pub(crate) enum CbcKey {
    Aes128(Aes128),
    Aes256(Aes256),
    TripleDes(TdesEde3),
}

impl CbcKey {
    /// Takes a key of [`CbcCipher::key_octets`]; the parity bits of DES are not looked at.
    pub(crate) fn new(cipher: CbcCipher, key: &[u8]) -> Result<Self, KeymatLength> {
        match cipher {
            CbcCipher::Aes128 => Aes128::new_from_slice(key).map(Self::Aes128),
            CbcCipher::Aes256 => Aes256::new_from_slice(key).map(Self::Aes256),
            CbcCipher::TripleDes => TdesEde3::new_from_slice(key).map(Self::TripleDes),
        }
        .map_err(|_| KeymatLength {
            octets: key.len(),
            wanted: cipher.key_octets(),
        })
    }

    /// Encrypts whole blocks.
    pub(crate) fn encrypt(&self, iv: &[u8], text: &mut [u8]) -> Result<(), Refused> {
        match self {
            Self::Aes128(key) => encrypt(key, iv, text),
            Self::Aes256(key) => encrypt(key, iv, text),
            Self::TripleDes(key) => encrypt(key, iv, text),
        }
    }

    /// Decrypts whole blocks.
    pub(crate) fn decrypt(&self, iv: &[u8], text: &mut [u8]) -> Result<(), Refused> {
        match self {
            Self::Aes128(key) => decrypt(key, iv, text),
            Self::Aes256(key) => decrypt(key, iv, text),
            Self::TripleDes(key) => decrypt(key, iv, text),
        }
    }
}

/// A cipher's key and an HMAC key, that seal and open `IV | text | ICV` in place; the text is a multiple of a block.
pub(crate) struct CbcHmac {
    key: CbcKey,
    iv_octets: usize,
    mac: Mac,
}

impl CbcHmac {
    pub(crate) fn new(
        (cipher, key): (CbcCipher, &[u8]),
        (check, check_key): (Check, &[u8]),
    ) -> Result<Self, KeymatLength> {
        Ok(Self {
            key: CbcKey::new(cipher, key)?,
            iv_octets: cipher.block_octets(),
            mac: Mac::new(check, check_key)?,
        })
    }

    /// Encrypts, then authenticates `before | IV | ciphertext | behind`. The IV is the front of `iv`, as long as a block.
    pub(crate) fn seal(
        &self,
        iv: [u8; BLOCK_OCTETS],
        (before, behind): (&[u8], &[u8]),
        packet: &mut [u8],
    ) -> Result<(), Refused> {
        let covered = packet
            .len()
            .checked_sub(self.mac.icv_octets())
            .ok_or(Refused)?;
        let (covered, icv) = packet.split_at_mut_checked(covered).ok_or(Refused)?;
        let (first, text) = covered
            .split_at_mut_checked(self.iv_octets)
            .ok_or(Refused)?;
        for (to, from) in first.iter_mut().zip(iv) {
            *to = from;
        }
        self.key.encrypt(first, text)?;
        self.mac.write(&[before, covered, behind], icv)
    }

    /// Verifies, and decrypts only what is authentic.
    pub(crate) fn open<'a>(
        &self,
        (before, behind): (&[u8], &[u8]),
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        let covered = packet
            .len()
            .checked_sub(self.mac.icv_octets())
            .ok_or(Refused)?;
        let (covered, icv) = packet.split_at_mut_checked(covered).ok_or(Refused)?;
        self.mac.verify(&[before, covered, behind], icv)?;
        let (iv, text) = covered
            .split_at_mut_checked(self.iv_octets)
            .ok_or(Refused)?;
        self.key.decrypt(iv, text)?;
        Ok(text)
    }
}

fn encrypt<C>(cipher: &C, iv: &[u8], text: &mut [u8]) -> Result<(), Refused>
where
    C: BlockCipherEncrypt + BlockSizeUser,
{
    let mode = cbc::Encryptor::inner_iv_slice_init(cipher, iv);
    mode.map_err(|_| Refused)?
        .encrypt_blocks(blocks::<C>(text)?);
    Ok(())
}

fn decrypt<C>(cipher: &C, iv: &[u8], text: &mut [u8]) -> Result<(), Refused>
where
    C: BlockCipherDecrypt + BlockSizeUser,
{
    let mode = cbc::Decryptor::inner_iv_slice_init(cipher, iv);
    mode.map_err(|_| Refused)?
        .decrypt_blocks(blocks::<C>(text)?);
    Ok(())
}

fn blocks<C: BlockSizeUser>(text: &mut [u8]) -> Result<&mut [Block<C>], Refused> {
    match Array::slice_as_chunks_mut(text) {
        (blocks, []) => Ok(blocks),
        _ => Err(Refused),
    }
}

#[cfg(test)]
mod tests;
