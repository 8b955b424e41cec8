//! The algorithms that protect ESP, sealed and opened in place (RFC 4303 section 3.2, RFC 4106, RFC 7634, RFC 3602, RFC 4868).
//!
//! A packet's protected part is `IV | ciphertext | ICV`. The initialization vector of a combined mode is the packet's 64-bit sequence
//! number, so under one key each number may be sealed once only. That of a chained mode must not be foreseen (RFC 3602 section 3): it
//! is the number encrypted under a key of its own, so that it never repeats either; of that, a cipher whose blocks have 8 octets takes
//! the front half.

pub(crate) mod cbc;
pub(crate) mod combined;

use core::fmt;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes256Enc, Block};

use crate::Prf;
use crate::suite::{Mode, Suite};
use cbc::{BLOCK_OCTETS, CbcHmac};
use combined::Combined;

/// What the key that makes initialization vectors is derived for.
const IV_KEY_LABEL: &[u8] = b"esp cbc iv";

/// What is authenticated besides the ciphertext, and tells each packet's IV (RFC 4106 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Associated {
    /// Security parameters index.
    pub spi: u32,
    /// The whole sequence number.
    pub seq: u64,
    /// Whether extended sequence numbers are in use, so that its high half is authenticated too.
    pub esn: bool,
}

impl Associated {
    #[inline]
    fn octets(&self) -> ([u8; 12], usize) {
        let [a, b, c, d] = self.spi.to_be_bytes();
        let [h0, h1, h2, h3, l0, l1, l2, l3] = self.seq.to_be_bytes();
        if self.esn {
            ([a, b, c, d, h0, h1, h2, h3, l0, l1, l2, l3], 12)
        } else {
            ([a, b, c, d, l0, l1, l2, l3, 0, 0, 0, 0], 8)
        }
    }

    /// What a separate integrity algorithm covers before the IV and behind the ciphertext (RFC 4303 section 2.2.1).
    fn around(&self) -> ([u8; 8], Option<[u8; 4]>) {
        let [a, b, c, d] = self.spi.to_be_bytes();
        let [h0, h1, h2, h3, l0, l1, l2, l3] = self.seq.to_be_bytes();
        let high = self.esn.then_some([h0, h1, h2, h3]);
        ([a, b, c, d, l0, l1, l2, l3], high)
    }
}

/// The keying material is not as long as its suite wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeymatLength {
    /// Octets that there are.
    pub octets: usize,
    /// Octets that the suite wants.
    pub wanted: usize,
}

impl fmt::Display for KeymatLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { octets, wanted } = self;
        write!(f, "{octets} octets of keying material, {wanted} wanted")
    }
}

impl core::error::Error for KeymatLength {}

/// The packet or message cannot be sealed or opened: too short, of a wrong length, or its ICV is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not authentic, or of a wrong length")
    }
}

impl core::error::Error for Refused {}

#[expect(
    clippy::large_enum_variant,
    reason = "the AEADs are those of the fast path, which follows no pointer for them"
)]
enum Key {
    Combined(Combined),
    Cbc(Box<Chained>),
}

struct Chained {
    key: CbcHmac,
    iv_key: Aes256Enc,
}

/// One direction's key, ready to seal and to open. It shows nothing of itself.
pub struct Aead {
    suite: Suite,
    key: Key,
}

impl fmt::Debug for Aead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aead({})", self.suite)
    }
}

impl Aead {
    /// Takes `key | salt`, or `key | integrity key`.
    ///
    /// # Errors
    /// [`KeymatLength`] unless it has [`Suite::keymat_octets`].
    pub fn new(suite: Suite, keymat: &[u8]) -> Result<Self, KeymatLength> {
        let key = match suite.mode() {
            Mode::Combined(algorithm) => Key::Combined(Combined::new(algorithm, keymat)?),
            Mode::Cbc { cipher, check } => {
                let refused = KeymatLength {
                    octets: keymat.len(),
                    wanted: suite.keymat_octets(),
                };
                let halves = keymat
                    .split_at_checked(cipher.key_octets())
                    .ok_or(refused)?;
                let key = CbcHmac::new((cipher, halves.0), (check, halves.1));
                Key::Cbc(Box::new(Chained {
                    key: key.map_err(|_| refused)?,
                    iv_key: iv_key(keymat).map_err(|_| refused)?,
                }))
            }
        };
        Ok(Self { suite, key })
    }

    /// The suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Seals `IV | plaintext | ICV` in place: writes IV and ICV, encrypts what is between them.
    ///
    /// # Errors
    /// [`Refused`] if there is no room for both, or the plaintext is no multiple of [`Suite::align_octets`] under a chained mode.
    #[inline]
    pub fn seal(&self, associated: &Associated, packet: &mut [u8]) -> Result<(), Refused> {
        match &self.key {
            Key::Combined(key) => {
                let (aad, octets) = associated.octets();
                let aad = aad.get(..octets).unwrap_or_default();
                key.seal(associated.seq.to_be_bytes(), aad, packet)
            }
            Key::Cbc(chained) => chained.seal(associated, packet),
        }
    }

    /// Opens `IV | ciphertext | ICV` in place and gives the plaintext, which lies where the ciphertext was.
    ///
    /// # Errors
    /// [`Refused`] if the packet is too short or its ICV wrong, or the ciphertext is no multiple of a block under a chained mode; then
    /// the octets between IV and ICV are of no use.
    #[inline]
    pub fn open<'a>(
        &self,
        associated: &Associated,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        match &self.key {
            Key::Combined(key) => {
                let (aad, octets) = associated.octets();
                key.open(aad.get(..octets).unwrap_or_default(), packet)
            }
            Key::Cbc(chained) => chained.open(associated, packet),
        }
    }
}

impl Chained {
    fn seal(&self, associated: &Associated, packet: &mut [u8]) -> Result<(), Refused> {
        let (header, high) = associated.around();
        let high = high.as_ref().map_or(&[][..], |high| high);
        self.key
            .seal(self.iv(associated.seq), (&header, high), packet)
    }

    fn open<'a>(
        &self,
        associated: &Associated,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        let (header, high) = associated.around();
        let high = high.as_ref().map_or(&[][..], |high| high);
        self.key.open((&header, high), packet)
    }

    fn iv(&self, seq: u64) -> [u8; BLOCK_OCTETS] {
        let mut block = Block::from(u128::from(seq).to_be_bytes());
        self.iv_key.encrypt_block(&mut block);
        block.into()
    }
}

/// The whole keying material is the derivation's key, which is no key of anything else.
fn iv_key(keymat: &[u8]) -> Result<Aes256Enc, aes::cipher::InvalidLength> {
    let key = Prf::HmacSha256.mac(keymat, &[IV_KEY_LABEL]);
    Aes256Enc::new_from_slice(key.expose())
}

#[cfg(test)]
mod tests;
