//! What protects the messages of an IKE SA: the Encrypted payload's body, sealed and opened (RFC 7296 section 3.14, RFC 5282).
//!
//! The body is `IV | ciphertext | ICV`, and the ciphertext is that of `payloads | padding | pad length`.

use std::fmt;

use ring::aead as ring_aead;

use crate::aead::cbc::{BLOCK_OCTETS, CbcCipher, CbcHmac};
use crate::aead::combined::{Combined, ICV_OCTETS, IV_OCTETS, SALT_OCTETS};
use crate::integrity::Check;
use crate::{Integrity, KeymatLength, Refused};

/// Octets of the pad length, which ends the plaintext.
const PAD_LENGTH_OCTETS: usize = 1;

/// What encrypts the messages of an IKE SA (IANA transform type 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IkeCipher {
    /// AES-GCM with a 128-bit key and a 16-octet ICV (RFC 5282; IANA 20).
    Aes128Gcm16,
    /// AES-GCM with a 256-bit key and a 16-octet ICV (RFC 5282; IANA 20).
    Aes256Gcm16,
    /// ChaCha20-Poly1305 (RFC 7634; IANA 28).
    ChaCha20Poly1305,
    /// AES-CBC with a 128-bit key (RFC 3602; IANA 12).
    Aes128Cbc,
    /// AES-CBC with a 256-bit key (RFC 3602; IANA 12).
    Aes256Cbc,
}

enum Mode {
    Combined(&'static ring_aead::Algorithm),
    Cbc(CbcCipher),
}

impl IkeCipher {
    /// Every cipher.
    pub const ALL: &[Self] = &[
        Self::Aes128Gcm16,
        Self::Aes256Gcm16,
        Self::ChaCha20Poly1305,
        Self::Aes128Cbc,
        Self::Aes256Cbc,
    ];

    /// The number in a transform.
    #[must_use]
    pub const fn iana(self) -> u16 {
        match self {
            Self::Aes128Gcm16 | Self::Aes256Gcm16 => 20,
            Self::ChaCha20Poly1305 => 28,
            Self::Aes128Cbc | Self::Aes256Cbc => 12,
        }
    }

    /// The Key Length attribute of the transform, in bits, where the cipher has one (RFC 7296 section 3.3.5).
    #[must_use]
    pub const fn key_bits(self) -> Option<u16> {
        match self {
            Self::Aes128Gcm16 | Self::Aes128Cbc => Some(128),
            Self::Aes256Gcm16 | Self::Aes256Cbc => Some(256),
            Self::ChaCha20Poly1305 => None,
        }
    }

    /// The cipher of that number and Key Length attribute.
    #[must_use]
    pub fn from_iana(id: u16, key_bits: Option<u16>) -> Option<Self> {
        let of_both = |cipher: &Self| (cipher.iana(), cipher.key_bits()) == (id, key_bits);
        Self::ALL.iter().copied().find(of_both)
    }

    /// The name in proposals, as strongSwan writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
            Self::ChaCha20Poly1305 => "chacha20poly1305",
            Self::Aes128Cbc => "aes128",
            Self::Aes256Cbc => "aes256",
        }
    }

    /// The cipher of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|cipher| cipher.name() == name)
    }

    /// Whether it authenticates too, so that no integrity algorithm goes with it (RFC 5282 section 8).
    #[must_use]
    pub const fn is_aead(self) -> bool {
        match self {
            Self::Aes128Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => true,
            Self::Aes128Cbc | Self::Aes256Cbc => false,
        }
    }

    /// Octets of `SK_e`: the key, and the salt of 4 where the cipher is an AEAD (RFC 5282 section 7.1).
    #[must_use]
    pub const fn keymat_octets(self) -> usize {
        match self {
            Self::Aes128Gcm16 => 16 + SALT_OCTETS,
            Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 32 + SALT_OCTETS,
            Self::Aes128Cbc => 16,
            Self::Aes256Cbc => 32,
        }
    }

    /// Octets of the initialization vector in front of the ciphertext.
    #[must_use]
    pub const fn iv_octets(self) -> usize {
        if self.is_aead() {
            IV_OCTETS
        } else {
            BLOCK_OCTETS
        }
    }

    const fn mode(self) -> Mode {
        match self {
            Self::Aes128Gcm16 => Mode::Combined(&ring_aead::AES_128_GCM),
            Self::Aes256Gcm16 => Mode::Combined(&ring_aead::AES_256_GCM),
            Self::ChaCha20Poly1305 => Mode::Combined(&ring_aead::CHACHA20_POLY1305),
            Self::Aes128Cbc => Mode::Cbc(CbcCipher::Aes128),
            Self::Aes256Cbc => Mode::Cbc(CbcCipher::Aes256),
        }
    }
}

impl fmt::Display for IkeCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

enum Key {
    Combined { key: Box<Combined>, next_iv: u64 },
    Cbc(Box<CbcHmac>),
}

/// One direction of an IKE SA, ready to seal and to open. It shows nothing of its key.
pub struct SkKey {
    cipher: IkeCipher,
    icv_octets: usize,
    key: Key,
}

impl SkKey {
    /// Takes `SK_e` and, for a cipher that does not authenticate, the integrity algorithm with `SK_a`.
    ///
    /// # Errors
    /// [`KeymatLength`] unless each key has the length of its algorithm; an integrity key that an AEAD does not want, or one that a
    /// cipher lacks, is such a length.
    pub fn new(
        cipher: IkeCipher,
        integrity: Option<Integrity>,
        encryption_key: &[u8],
        integrity_key: &[u8],
    ) -> Result<Self, KeymatLength> {
        let (key, icv_octets) = match (cipher.mode(), integrity) {
            (Mode::Combined(algorithm), None) if integrity_key.is_empty() => {
                let key = Box::new(Combined::new(algorithm, encryption_key)?);
                (Key::Combined { key, next_iv: 0 }, ICV_OCTETS)
            }
            (Mode::Combined(_), _) => {
                return Err(KeymatLength {
                    octets: integrity_key.len(),
                    wanted: 0,
                });
            }
            (Mode::Cbc(cipher), Some(integrity)) => {
                let check = (Check::Of(integrity), integrity_key);
                let key = CbcHmac::new((cipher, encryption_key), check)?;
                (Key::Cbc(Box::new(key)), integrity.icv_octets())
            }
            (Mode::Cbc(_), None) => {
                return Err(KeymatLength {
                    octets: 0,
                    wanted: Integrity::HmacSha256_128.key_octets(),
                });
            }
        };
        Ok(Self {
            cipher,
            icv_octets,
            key,
        })
    }

    /// Octets of the body for so many of plaintext: IV, ciphertext with its padding, ICV.
    #[must_use]
    pub const fn body_octets(&self, plaintext: usize) -> usize {
        self.cipher.iv_octets() + self.padded(plaintext) + self.icv_octets
    }

    /// Appends the body of an Encrypted payload to `out`. `associated` is the message from the IKE header to the payload's generic
    /// header (to the fragment numbers, of an Encrypted Fragment payload), with its final lengths. `iv_random` is unpredictable and
    /// is the IV under CBC; an AEAD counts its own.
    ///
    /// # Errors
    /// [`Refused`] when the key has sealed 2^64 messages; then `out` is as it was.
    pub fn seal(
        &mut self,
        associated: &[u8],
        plaintext: &[u8],
        iv_random: [u8; 16],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let start = out.len();
        let padded = self.padded(plaintext.len());
        let padding = padded - plaintext.len() - PAD_LENGTH_OCTETS;
        let pad_length = u8::try_from(padding).map_err(|_| Refused)?;
        out.reserve(self.body_octets(plaintext.len()));
        out.resize(start + self.cipher.iv_octets(), 0);
        out.extend_from_slice(plaintext);
        out.resize(out.len() + padding, 0);
        out.push(pad_length);
        out.resize(out.len() + self.icv_octets, 0);
        let body = out.get_mut(start..).unwrap_or_default();
        let sealed = self.seal_in_place(associated, iv_random, body);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    /// Opens the body of an Encrypted payload and gives the payloads in it, without padding. `associated` as for [`SkKey::seal`].
    ///
    /// # Errors
    /// [`Refused`] if the body is too short, no multiple of a block, its ICV wrong, or the padding longer than the plaintext.
    pub fn open(&self, associated: &[u8], body: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut body = body.to_vec();
        let opened = match &self.key {
            Key::Combined { key, .. } => key.open(associated, &mut body)?,
            Key::Cbc(key) => key.open((associated, &[]), &mut body)?,
        };
        let (pad_length, padded) = opened.split_last().ok_or(Refused)?;
        let plaintext = padded
            .len()
            .checked_sub(usize::from(*pad_length))
            .ok_or(Refused)?;
        Ok(padded.get(..plaintext).ok_or(Refused)?.to_vec())
    }

    fn seal_in_place(
        &mut self,
        associated: &[u8],
        iv_random: [u8; 16],
        body: &mut [u8],
    ) -> Result<(), Refused> {
        match &mut self.key {
            Key::Combined { key, next_iv } => {
                let iv = *next_iv;
                *next_iv = iv.checked_add(1).ok_or(Refused)?;
                key.seal(iv.to_be_bytes(), associated, body)
            }
            Key::Cbc(key) => key.seal(iv_random, (associated, &[]), body),
        }
    }

    const fn padded(&self, plaintext: usize) -> usize {
        let least = plaintext + PAD_LENGTH_OCTETS;
        if self.cipher.is_aead() {
            least
        } else {
            least.next_multiple_of(BLOCK_OCTETS)
        }
    }
}

impl fmt::Debug for SkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SkKey({})", self.cipher)
    }
}

#[cfg(test)]
mod tests;
