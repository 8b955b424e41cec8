//! Messages that are encrypted along a chain: the IV of each is the last block of the one before it (RFC 2409 section 5 and appendix B).
//!
//! The chain of phase 1 begins at a digest of the public keys, that of each later exchange at one of phase 1's last block and the message ID.
//! Nothing but the HASH inside tells whether a message was the peer's: the IV moves on only once that has been verified.

use std::error::Error;
use std::fmt;

use adit_crypto::v1::{CbcKey, Cipher, Hash};
use adit_crypto::{Refused, SecretBytes};

use crate::wire::isakmp::{Flags, HEADER_OCTETS, Header, write_message};

/// Where a chain stands: the IV of the next message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Iv(Vec<u8>);

/// Why a message cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// It is not encrypted.
    Clear,
    /// Its encrypted part is of that many octets, which are not whole blocks.
    Blocks(usize),
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => f.write_str("message is not encrypted"),
            Self::Blocks(octets) => write!(f, "{octets} encrypted octets are not whole blocks"),
        }
    }
}

impl Error for NotOpened {}

impl Iv {
    /// The first IV of phase 1: the front of `hash(g^xi | g^xr)`.
    #[must_use]
    pub fn of_phase_1(hash: Hash, cipher: Cipher, g_xi: &[u8], g_xr: &[u8]) -> Self {
        Self::front(hash.digest(&[g_xi, g_xr]), cipher)
    }

    /// The first IV of an exchange behind phase 1, whose last IV this is: the front of `hash(last block of phase 1 | M-ID)`.
    #[must_use]
    pub fn of_exchange(&self, hash: Hash, cipher: Cipher, message_id: u32) -> Self {
        Self::front(hash.digest(&[&self.0, &message_id.to_be_bytes()]), cipher)
    }

    /// The octets: a block of the cipher.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    fn front(mut digest: Vec<u8>, cipher: Cipher) -> Self {
        digest.truncate(cipher.block_octets());
        Self(digest)
    }

    /// What follows a message whose encrypted part is `ciphertext`.
    fn behind(ciphertext: &[u8], cipher: Cipher) -> Option<Self> {
        ciphertext
            .rchunks(cipher.block_octets())
            .next()
            .map(|block| Self(block.to_vec()))
    }
}

/// Encrypts a message: the header, its E flag set, and the chain of payloads whose first one is of type `first`, filled up with zero octets.
/// Gives the message, and the IV of the next one in its exchange.
///
/// # Errors
/// [`Refused`] when the IV is of another cipher than the key, or the chain empty.
pub fn seal(
    key: &CbcKey,
    iv: &Iv,
    header: &Header,
    first: u8,
    chain: Vec<u8>,
) -> Result<(Vec<u8>, Iv), Refused> {
    let cipher = key.cipher();
    let mut padded = chain;
    padded.resize(padded.len().next_multiple_of(cipher.block_octets()), 0);
    // What was in it may be a password.
    let padded = SecretBytes::new(padded);
    let header = Header {
        flags: Flags {
            encryption: true,
            ..header.flags
        },
        ..*header
    };
    let mut message = write_message(&header, first, padded.expose());
    let body = message.get_mut(HEADER_OCTETS..).unwrap_or_default();
    key.encrypt(&iv.0, body)?;
    let next = Iv::behind(body, cipher).ok_or(Refused)?;
    Ok((message, next))
}

/// Decrypts a message. Gives the chain of payloads with its padding, which is [`opened`](crate::wire::isakmp::opened) to be read, and the
/// IV of the next message, which is to be kept once the message has been verified.
///
/// # Errors
/// [`NotOpened`].
pub fn open(
    key: &CbcKey,
    iv: &Iv,
    header: &Header,
    message: &[u8],
) -> Result<(Vec<u8>, Iv), NotOpened> {
    if !header.flags.encryption {
        return Err(NotOpened::Clear);
    }
    let ciphertext = message.get(HEADER_OCTETS..).unwrap_or_default();
    let broken = NotOpened::Blocks(ciphertext.len());
    let next = Iv::behind(ciphertext, key.cipher()).ok_or(broken)?;
    let mut chain = ciphertext.to_vec();
    key.decrypt(&iv.0, &mut chain).map_err(|_| broken)?;
    Ok((chain, next))
}
