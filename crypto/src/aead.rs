//! The algorithms that protect ESP, sealed and opened in place (RFC 4303 section 3.2, RFC 4106, RFC 7634).
//!
//! A packet's protected part is `IV | ciphertext | ICV`. The initialization vector is the packet's 64-bit sequence number, so under one
//! key each number may be sealed once only.

use core::fmt;

use ring::aead::{self, LessSafeKey, Nonce, UnboundKey};

/// Octets of the salt that ends a keying material (RFC 4106 section 4, RFC 7634 section 2).
const SALT_OCTETS: usize = 4;
const IV_OCTETS: usize = 8;
const ICV_OCTETS: usize = 16;

/// What seals the packets of a security association.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// AES-GCM with a 128-bit key and a 16-octet ICV (RFC 4106; IANA 20).
    Aes128Gcm16,
    /// AES-GCM with a 256-bit key and a 16-octet ICV (RFC 4106; IANA 20).
    Aes256Gcm16,
    /// ChaCha20-Poly1305 (RFC 7634; IANA 28).
    ChaCha20Poly1305,
}

impl Suite {
    /// Every suite.
    pub const ALL: &[Self] = &[Self::Aes128Gcm16, Self::Aes256Gcm16, Self::ChaCha20Poly1305];

    /// The name in configurations and key files, as strongSwan writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
            Self::ChaCha20Poly1305 => "chacha20poly1305",
        }
    }

    /// The suite of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|suite| suite.name() == name)
    }

    /// Octets of the keying material: the key and a salt of 4.
    #[must_use]
    pub const fn keymat_octets(self) -> usize {
        match self {
            Self::Aes128Gcm16 => 16 + SALT_OCTETS,
            Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 32 + SALT_OCTETS,
        }
    }

    /// Octets between the ESP header and the ciphertext.
    #[must_use]
    pub const fn iv_octets(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => IV_OCTETS,
        }
    }

    /// Octets behind the ciphertext.
    #[must_use]
    pub const fn icv_octets(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => ICV_OCTETS,
        }
    }

    /// What the ciphertext's length is a multiple of, in octets: 4, or the cipher's block if that is larger (RFC 4303 section 2.4).
    #[must_use]
    pub const fn align_octets(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 4,
        }
    }

    const fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm16 => &aead::AES_128_GCM,
            Self::Aes256Gcm16 => &aead::AES_256_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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

/// The packet cannot be sealed or opened: too short, or its ICV is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// One direction's key, ready to seal and to open. It shows nothing of itself.
pub struct Aead {
    suite: Suite,
    key: LessSafeKey,
    salt: [u8; SALT_OCTETS],
}

impl fmt::Debug for Aead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aead({})", self.suite)
    }
}

impl Aead {
    /// Takes `key | salt`.
    ///
    /// # Errors
    /// [`KeymatLength`] unless it has [`Suite::keymat_octets`].
    pub fn new(suite: Suite, keymat: &[u8]) -> Result<Self, KeymatLength> {
        let wanted = suite.keymat_octets();
        let refused = KeymatLength {
            octets: keymat.len(),
            wanted,
        };
        let (key, salt) = keymat.split_last_chunk().ok_or(refused)?;
        if keymat.len() != wanted {
            return Err(refused);
        }
        let key = UnboundKey::new(suite.algorithm(), key).map_err(|_| refused)?;
        Ok(Self {
            suite,
            key: LessSafeKey::new(key),
            salt: *salt,
        })
    }

    /// The suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Seals `IV | plaintext | ICV` in place: writes IV and ICV, encrypts what is between them.
    ///
    /// # Errors
    /// [`Refused`] if there is no room for both.
    #[inline]
    pub fn seal(&self, associated: &Associated, packet: &mut [u8]) -> Result<(), Refused> {
        let (aad, octets) = associated.octets();
        let aad = aad.get(..octets).unwrap_or_default();
        self.seal_with(associated.seq.to_be_bytes(), aad, packet)
    }

    /// Opens `IV | ciphertext | ICV` in place and gives the plaintext, which lies where the ciphertext was.
    ///
    /// # Errors
    /// [`Refused`] if the packet is too short or its ICV wrong; then the octets between IV and ICV are of no use.
    #[inline]
    pub fn open<'a>(
        &self,
        associated: &Associated,
        packet: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        let (aad, octets) = associated.octets();
        self.open_with(aad.get(..octets).unwrap_or_default(), packet)
    }

    #[inline]
    fn seal_with(&self, iv: [u8; IV_OCTETS], aad: &[u8], packet: &mut [u8]) -> Result<(), Refused> {
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
    fn open_with<'a>(&self, aad: &[u8], packet: &'a mut [u8]) -> Result<&'a mut [u8], Refused> {
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
mod vectors;
