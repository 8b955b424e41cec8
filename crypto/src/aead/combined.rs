//! One key of a combined-mode cipher with the salt of its nonces (RFC 4106 section 4, RFC 7634 section 2).

use ring::aead::{self, LessSafeKey, Nonce, UnboundKey};

use super::{KeymatLength, Refused};

/// Octets of the salt that ends a keying material.
pub(crate) const SALT_OCTETS: usize = 4;
pub(crate) const IV_OCTETS: usize = 8;
pub(crate) const ICV_OCTETS: usize = 16;

/// A key and its salt, that seal and open `IV | text | ICV` in place.
pub(crate) struct Combined {
    key: LessSafeKey,
    salt: [u8; SALT_OCTETS],
}

impl Combined {
    /// Takes `key | salt`.
    pub(crate) fn new(
        algorithm: &'static aead::Algorithm,
        keymat: &[u8],
    ) -> Result<Self, KeymatLength> {
        let refused = KeymatLength {
            octets: keymat.len(),
            wanted: algorithm.key_len() + SALT_OCTETS,
        };
        let (key, salt) = keymat.split_last_chunk().ok_or(refused)?;
        let key = UnboundKey::new(algorithm, key).map_err(|_| refused)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            salt: *salt,
        })
    }

    #[inline]
    pub(crate) fn seal(
        &self,
        iv: [u8; IV_OCTETS],
        aad: &[u8],
        packet: &mut [u8],
    ) -> Result<(), Refused> {
        let (first, rest) = packet.split_first_chunk_mut().ok_or(Refused)?;
        let (plaintext, icv) = rest.split_last_chunk_mut::<ICV_OCTETS>().ok_or(Refused)?;
        *first = iv;
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(iv), aead::Aad::from(aad), plaintext)
            .map_err(|_| Refused)?;
        icv.copy_from_slice(tag.as_ref());
        Ok(())
    }

    #[inline]
    pub(crate) fn open<'a>(
        &self,
        aad: &[u8],
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        let (iv, sealed) = packet.split_first_chunk_mut().ok_or(Refused)?;
        let aad = aead::Aad::from(aad);
        let opened = self.key.open_in_place(self.nonce(*iv), aad, sealed);
        opened.map_err(|_| Refused)
    }

    #[inline]
    fn nonce(&self, iv: [u8; IV_OCTETS]) -> Nonce {
        let [s0, s1, s2, s3] = self.salt;
        let [i0, i1, i2, i3, i4, i5, i6, i7] = iv;
        Nonce::assume_unique_for_key([s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7])
    }
}

#[cfg(test)]
#[path = "vectors.rs"]
mod vectors;
