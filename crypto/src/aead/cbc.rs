//! AES in cipher block chaining mode with an HMAC over its ciphertext (RFC 3602, RFC 4868, RFC 7296 section 3.14).

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt};
use aes::cipher::{
    BlockModeDecrypt, BlockModeEncrypt, BlockSizeUser, InnerIvInit, KeyInit, consts::U16,
};
use aes::{Aes128, Aes256, Block};

use super::{KeymatLength, Refused};
use crate::integrity::{Integrity, Mac};

/// Octets of a block, and of an initialization vector.
pub(crate) const BLOCK_OCTETS: usize = 16;

/// An AES key of either length.
pub(crate) enum Aes {
    Bits128(Aes128),
    Bits256(Aes256),
}

impl Aes {
    /// Takes a key of `wanted` octets: 16 or 32.
    pub(crate) fn new(key: &[u8], wanted: usize) -> Result<Self, KeymatLength> {
        let octets = key.len();
        let refused = KeymatLength { octets, wanted };
        if octets != wanted {
            return Err(refused);
        }
        let aes = Aes128::new_from_slice(key).map(Self::Bits128);
        aes.or_else(|_| Aes256::new_from_slice(key).map(Self::Bits256))
            .map_err(|_| refused)
    }

    fn encrypt(&self, iv: &[u8; BLOCK_OCTETS], text: &mut [u8]) -> Result<(), Refused> {
        match self {
            Self::Bits128(aes) => encrypt(aes, iv, text),
            Self::Bits256(aes) => encrypt(aes, iv, text),
        }
    }

    fn decrypt(&self, iv: &[u8; BLOCK_OCTETS], text: &mut [u8]) -> Result<(), Refused> {
        match self {
            Self::Bits128(aes) => decrypt(aes, iv, text),
            Self::Bits256(aes) => decrypt(aes, iv, text),
        }
    }
}

/// An AES key and an HMAC key, that seal and open `IV | text | ICV` in place; the text is a multiple of a block.
pub(crate) struct CbcHmac {
    aes: Aes,
    mac: Mac,
}

impl CbcHmac {
    pub(crate) fn new(
        (key, key_octets): (&[u8], usize),
        (integrity, integrity_key): (Integrity, &[u8]),
    ) -> Result<Self, KeymatLength> {
        Ok(Self {
            aes: Aes::new(key, key_octets)?,
            mac: Mac::new(integrity, integrity_key)?,
        })
    }

    /// Encrypts, then authenticates `before | IV | ciphertext | behind`.
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
        let (first, text) = covered.split_first_chunk_mut().ok_or(Refused)?;
        *first = iv;
        self.aes.encrypt(&iv, text)?;
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
        let (iv, text) = covered.split_first_chunk_mut().ok_or(Refused)?;
        self.aes.decrypt(iv, text)?;
        Ok(text)
    }
}

fn encrypt<C>(aes: &C, iv: &[u8; BLOCK_OCTETS], text: &mut [u8]) -> Result<(), Refused>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    cbc::Encryptor::inner_iv_init(aes, iv.into()).encrypt_blocks(blocks(text)?);
    Ok(())
}

fn decrypt<C>(aes: &C, iv: &[u8; BLOCK_OCTETS], text: &mut [u8]) -> Result<(), Refused>
where
    C: BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>,
{
    cbc::Decryptor::inner_iv_init(aes, iv.into()).decrypt_blocks(blocks(text)?);
    Ok(())
}

fn blocks(text: &mut [u8]) -> Result<&mut [Block], Refused> {
    match Block::slice_as_chunks_mut(text) {
        (blocks, []) => Ok(blocks),
        _ => Err(Refused),
    }
}

#[cfg(test)]
mod tests;
